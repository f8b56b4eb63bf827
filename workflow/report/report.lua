-- What plain Markdown cannot say for each of the two outputs.

-- HTML: a wide table scrolls in a box of its own, and its caption stays outside that box.
local function scrolling(table)
  local identifier, caption = table.identifier, table.caption
  table.identifier, table.caption = "", { long = {} }
  local box = pandoc.Div({ table }, { class = "scroll", tabindex = "0" })
  return pandoc.Figure({ box }, caption, { id = identifier, class = "table" })
end

-- PDF: a verdict keeps its colour.
local function coloured(span)
  if span.classes:includes("verdict") then
    return pandoc.RawInline("typst", '#verdict("' .. pandoc.utils.stringify(span) .. '")')
  end
end

if FORMAT:match("html") then
  return { { Table = scrolling } }
end
return { { Span = coloured } }
