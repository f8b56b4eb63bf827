-- What plain Markdown cannot say for each of the two outputs.

-- HTML: a column's alignment is a class, as the page allows no style attributes.
local function classed(table)
  local function mark(rows)
    for _, row in ipairs(rows) do
      for column, cell in ipairs(row.cells) do
        if table.colspecs[column][1] == "AlignRight" then
          cell.classes:insert("number")
        end
      end
    end
  end
  mark(table.head.rows)
  for _, body in ipairs(table.bodies) do
    mark(body.body)
  end
  table.colspecs = table.colspecs:map(function() return { "AlignDefault", nil } end)
end

-- HTML: a wide table scrolls in a box of its own, and its caption stays outside that box.
local function scrolling(table)
  local identifier, caption = table.identifier, table.caption
  table.identifier, table.caption = "", { long = {} }
  classed(table)
  local name = pandoc.utils.stringify(caption.long):match("^[^.]*")
  -- Pairs, as the keys of a Lua table have no order of their own.
  local said = { { "tabindex", "0" }, { "role", "region" }, { "aria-label", name } }
  local box = pandoc.Div({ table }, pandoc.Attr("", { "scroll" }, said))
  return pandoc.Figure({ box }, caption, { id = identifier, class = "table" })
end

-- PDF: a verdict keeps its colour.
local function coloured(span)
  if span.classes:includes("verdict") then
    return pandoc.RawInline("typst", '#verdict("' .. span.classes[2] .. '")[' .. pandoc.utils.stringify(span) .. "]")
  end
end

-- PDF: text is text. pandoc escapes most of what typst interprets, but not what becomes a dash, a minus sign, a soft
-- hyphen, an ellipsis or a curly quote, nor the marks of lists and headings at the start of a cell.
local function literal(str)
  local parts = pandoc.Inlines({})
  for text, mark in (str.text .. "\0"):gmatch("([^-=+/.'\"%z]*)(.)") do
    if text ~= "" then
      parts:insert(pandoc.Str(text))
    end
    if mark ~= "\0" then
      parts:insert(pandoc.RawInline("typst", "\\" .. mark))
    end
  end
  return parts
end

if FORMAT:match("html") then
  return { { Table = scrolling } }
end
return { { Span = coloured }, { Str = literal } }
