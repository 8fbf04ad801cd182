"use strict";
// Tables: a click on a heading sorts, words in the field above leave the rows that have all of them.
for (const section of document.querySelectorAll("section.table")) {
  const body = section.querySelector("tbody");
  const rows = Array.from(body.rows);
  const heads = Array.from(section.querySelectorAll("th"));
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent.trim() : cell.dataset.v;
  };
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === ""); // what is not known stands last, both ways
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
  };
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const empty = (row) => key(row, column) === "";
      const sorted = rows.filter((row) => !empty(row)).sort((a, b) => (down ? -1 : 1) * compare(key(a, column), key(b, column)));
      body.append(...sorted, ...rows.filter(empty));
    });
  });
  const field = section.querySelector("input");
  const count = section.querySelector("output");
  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let kept = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      kept += !row.hidden;
    }
    count.textContent = kept === rows.length ? `${rows.length} rows` : `${kept} of ${rows.length} rows`;
  };
  field.addEventListener("input", filter);
  filter();
}
