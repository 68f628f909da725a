// A model's card: the Markdown that cards are written in, as elements; nothing in it can run.

/** Return the elements of a card. */
export function rendered(markdown) {
  const lines = markdown.replace(/^---\n.*?\n---\n/s, "").split("\n");
  const elements = [];
  while (lines.length) {
    const line = lines.shift();
    const heading = line.match(/^(#+) (.*)/);
    if (heading) elements.push(filled(`h${Math.min(6, heading[1].length + 1)}`, heading[2]));
    else if (line.startsWith("```")) {
      const code = document.createElement("pre");
      code.textContent = until(lines, (next) => next.startsWith("```")).join("\n");
      lines.shift();
      elements.push(code);
    } else if (line.startsWith("|")) elements.push(table([line, ...until(lines, (next) => !next.startsWith("|"))]));
    else if (line.startsWith("- ")) elements.push(list([line, ...until(lines, (next) => !/^(- |  )/.test(next))]));
    else if (line.trim()) {
      const rest = until(lines, (next) => !next.trim() || /^(#|\||- |```)/.test(next));
      elements.push(filled("p", [line, ...rest].join(" ")));
    }
  }
  return elements;
}

/** Take lines away until one is found that ends them. */
function until(lines, ends) {
  const end = lines.findIndex(ends);
  return lines.splice(0, end < 0 ? lines.length : end);
}

function table(lines) {
  const rows = lines.map((line) => line.replace(/^\||\|\s*$/g, "").split("|").map((cell) => cell.trim()));
  const [head, , ...body] = rows;
  const element = document.createElement("table");
  if (head.some(Boolean)) element.createTHead().append(row(head, "th"));
  const filledBody = element.createTBody();
  filledBody.append(...body.map((cells) => row(cells, "td")));
  const around = document.createElement("div");
  around.className = "wide";
  around.append(element);
  return around;
}

function row(cells, kind) {
  const element = document.createElement("tr");
  element.append(...cells.map((cell) => filled(kind, cell)));
  return element;
}

function list(lines) {
  const items = lines.join("\n").replace(/\n  +/g, " ").split("\n");
  const element = document.createElement("ul");
  element.append(...items.map((item) => filled("li", item.replace(/^- /, ""))));
  return element;
}

/** An element with the text of a line; links, code and strong words in it. */
function filled(kind, text) {
  const element = document.createElement(kind);
  for (const part of text.split(/(\[[^\]]+\]\(https?:[^)\s]+\)|`[^`]+`|\*\*[^*]+\*\*)/)) {
    const link = part.match(/^\[([^\]]+)\]\((https?:.+)\)$/);
    if (link) {
      const anchor = Object.assign(document.createElement("a"), { href: link[2], rel: "noreferrer", target: "_blank" });
      anchor.textContent = link[1];
      element.append(anchor);
    } else if (/^(`.+`|\*\*.+\*\*)$/s.test(part)) {
      const marked = document.createElement(part.startsWith("`") ? "code" : "strong");
      marked.textContent = part.replace(/^(`|\*\*)|(`|\*\*)$/g, "");
      element.append(marked);
    } else element.append(part);
  }
  return element;
}
