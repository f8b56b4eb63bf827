// Figures: their curves can be switched off one by one, and each opens enlarged.
"use strict";

{
  const dialog = document.createElement("dialog");
  const close = button("Close", () => dialog.close());
  dialog.append(close);
  document.body.append(dialog);

  function button(text, action) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", action);
    return made;
  }

  // Moves a figure's picture, with all that follows the pointer on it, into the dialog, and back when that is closed. It is
  // as large as the window has room for, at least 40 rem wide: what does not fit is scrolled to.
  function enlarge(figure, name) {
    const picture = figure.querySelector(".plot") ?? figure.querySelector("img");
    const image = figure.querySelector("img");
    const place = document.createComment("");
    const ratio = image.naturalWidth / image.naturalHeight;
    const room = Math.min(0.92 * innerWidth, 0.82 * innerHeight * ratio);
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    picture.replaceWith(place);
    dialog.append(picture);
    dialog.setAttribute("aria-label", name);
    picture.style.width = picture.style.maxWidth = image.style.maxWidth = `${Math.max(room, 40 * rem)}px`;
    dialog.showModal();
    dialog.addEventListener("close", () => {
      picture.style.width = picture.style.maxWidth = image.style.maxWidth = "";
      place.replaceWith(picture);
    }, { once: true });
  }

  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });

  // A button for each curve. The picture stays an image: one that is switched off is hidden by a style inside it.
  function addToggles(figure, tools, panels) {
    const image = figure.querySelector("img");
    const svg = new TextDecoder().decode(Uint8Array.from(atob(image.src.split(",")[1]), (c) => c.charCodeAt(0)));
    const plot = figure.querySelector(".plot");
    const curves = new Map(panels.flatMap(({ series }) => series.map(({ label, colour }) => [label, colour])));
    if (curves.size < 2) return;
    const group = document.createElement("span");
    group.className = "curves";
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "Curves shown");
    tools.prepend(group);
    const labels = [...curves.keys()];
    for (const [label, colour] of curves) {
      const toggle = button(label, () => {
        const hidden = plot.hiddenCurves;
        if (!hidden.delete(label)) hidden.add(label);
        toggle.setAttribute("aria-pressed", String(!hidden.has(label)));
        const off = labels.flatMap((one, index) => (hidden.has(one) ? [`[id^="curve${index}-"]{display:none}`] : []));
        const shown = svg.replace(/<\/svg>\s*$/, `<style>${off.join("")}</style></svg>`);
        image.src = `data:image/svg+xml,${encodeURIComponent(shown)}`;
      });
      toggle.setAttribute("aria-pressed", "true");
      const swatch = document.createElement("i");
      swatch.style.background = colour;
      toggle.prepend(swatch);
      group.append(toggle);
    }
  }

  for (const tools of document.querySelectorAll(".tools")) {
    const figure = document.getElementById(tools.dataset.figure);
    const name = figure.querySelector("figcaption strong").textContent.replace(/\.$/, "");
    const open = button("Enlarge", () => enlarge(figure, name));
    open.setAttribute("aria-label", `Enlarge ${name}`);
    tools.append(open);
    const hover = document.querySelector(`script.hover[data-figure="${tools.dataset.figure}"]`);
    if (hover) addToggles(figure, tools, JSON.parse(hover.textContent));
  }
}
