// The table of contents says where the reader is; the appendix opens for a link into it, and for print.
"use strict";

{
  const links = [...document.querySelectorAll("nav a")];
  const headings = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));

  function mark() {
    const below = headings.findIndex((heading) => heading.getBoundingClientRect().top > innerHeight / 3);
    const current = (below < 0 ? headings.length : below) - 1;
    links.forEach((link, index) => {
      if (index === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  }

  function unfold() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = target && target.closest("details:not([open])");
    if (!folded) return;
    folded.open = true;
    target.scrollIntoView();
  }

  addEventListener("scroll", mark, { passive: true });
  addEventListener("resize", mark);
  addEventListener("hashchange", unfold);
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((details) => (details.open = true));
  });
  addEventListener("afterprint", () => opened.forEach((details) => (details.open = false)));
  mark();
  unfold();
}
