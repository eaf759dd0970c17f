// Sorts the table of aggregates and chooses what it is over; both stand in the address.
"use strict";

(() => {
  const table = document.getElementById("aggregates");
  if (!table) {
    return;
  }
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const scope = document.getElementById("scope");
  const status = document.getElementById("status");
  const collator = new Intl.Collator("en", { sensitivity: "base", numeric: true });
  const DEFAULT = { key: heads.find((head) => head.dataset.scope).dataset.key, reversed: false };
  const EVERYTHING = scope.options[0].value;
  let sorted = DEFAULT;

  const text = (row, column) => row.cells[column].dataset.value;
  // Best first: names from A on, ranks from 1 on, all else from the highest.
  const bestIsLow = (head) => head.dataset.kind === "text" || head.dataset.less === "better";
  const inScope = (head) => !head.dataset.scope || head.dataset.scope === scope.value;

  function show() {
    for (const [column, head] of heads.entries()) {
      head.hidden = !inScope(head);
      for (const row of rows) {
        row.cells[column].hidden = head.hidden;
      }
    }
    const valued = heads.flatMap((head, column) => (head.dataset.scope && !head.hidden ? [column] : []));
    for (const row of rows) {
      row.hidden = valued.every((column) => text(row, column) === "");
    }
    const column = heads.findIndex((head) => head.dataset.key === sorted.key && !head.hidden);
    const head = heads[column];
    const up = bestIsLow(head) !== sorted.reversed;
    const compare = (a, b) => {
      const [x, y] = [text(a, column), text(b, column)];
      if ((x === "") !== (y === "")) {
        return x === "" ? 1 : -1;
      }
      const order = head.dataset.kind === "text" ? collator.compare(x, y) : Number(x) - Number(y);
      return (up ? order : -order) || collator.compare(text(a, 0), text(b, 0));
    };
    body.append(...rows.sort(compare));
    for (const other of heads) {
      other.removeAttribute("aria-sort");
    }
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const shown = rows.filter((row) => !row.hidden).length;
    const way = up ? "lowest first" : "highest first";
    const over = scope.selectedOptions[0].textContent;
    status.textContent =
      `${shown} of ${rows.length} models over ${over}, ` +
      (head.dataset.kind === "text" ? `by name, ${up ? "from A to Z" : "from Z to A"}.` : `by ${head.textContent.trim()}, ${way}.`);
    remember();
  }

  function remember() {
    const state = new URLSearchParams();
    if (scope.value !== EVERYTHING) {
      state.set("over", scope.value);
    }
    if (sorted.key !== DEFAULT.key || sorted.reversed) {
      state.set("sort", sorted.key);
      state.set("order", sorted.reversed ? "reversed" : "best");
    }
    // A way to a part of the page stays as it is while nothing is chosen.
    if (String(state) || location.hash.includes("=")) {
      history.replaceState(null, "", `#${state}`);
    }
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    const key = state.get("sort");
    sorted = heads.some((head) => head.dataset.key === key)
      ? { key, reversed: state.get("order") === "reversed" }
      : DEFAULT;
    scope.value = state.get("over") ?? EVERYTHING;
    if (scope.selectedIndex < 0) {
      scope.value = EVERYTHING;
    }
    show();
  }

  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => {
      const again = sorted.key === head.dataset.key;
      sorted = { key: head.dataset.key, reversed: again && !sorted.reversed };
      show();
    });
  }
  scope.addEventListener("change", show);
  document.getElementById("reset").addEventListener("click", () => {
    history.replaceState(null, "", "#");
    recall();
  });
  const form = document.getElementById("controls");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  addEventListener("hashchange", () => {
    if (location.hash === "" || location.hash.includes("=")) {
      recall();
    }
  });
  recall();
})();
