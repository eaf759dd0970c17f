// Sorts and filters the table of models; what is chosen stands in the address.
"use strict";

(() => {
  const DEFAULT = "sum";
  const table = document.getElementById("models");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const find = document.getElementById("find");
  const domain = document.getElementById("domain");
  const complete = document.getElementById("complete");
  const status = document.getElementById("status");
  const compare = document.getElementById("compare");
  const collator = new Intl.Collator("en", { sensitivity: "base", numeric: true });
  const sumColumn = heads.findIndex((head) => head.dataset.key === DEFAULT);
  let sorted = { key: DEFAULT, descending: true };

  const isNumber = (head) => head.dataset.kind === "number";
  const isScore = (head) => head.dataset.domain !== undefined;
  const text = (row, column) => row.cells[column].dataset.value;
  const picked = () => rows.filter((row) => row.querySelector(".pick").checked);

  function shownScores() {
    return heads.flatMap((head, column) => (isScore(head) && !head.hidden ? [column] : []));
  }

  // Missing values come last in either direction; then by name.
  function comparator(column, descending) {
    const sign = descending ? -1 : 1;
    const number = isNumber(heads[column]);
    return (a, b) => {
      const [x, y] = [text(a, column), text(b, column)];
      if ((x === "") !== (y === "")) {
        return x === "" ? 1 : -1;
      }
      const order = number ? Number(x) - Number(y) : collator.compare(x, y);
      return sign * order || collator.compare(text(a, 0), text(b, 0));
    };
  }

  function show() {
    for (const [column, head] of heads.entries()) {
      if (isScore(head)) {
        head.hidden = domain.value !== "" && head.dataset.domain !== domain.value;
        for (const row of rows) {
          row.cells[column].hidden = head.hidden;
        }
      }
    }
    const scores = shownScores();
    const wanted = find.value.trim().toLowerCase();
    for (const row of rows) {
      const values = scores.map((column) => text(row, column));
      row.cells[sumColumn].dataset.value = values.reduce((sum, value) => sum + Number(value), 0);
      row.hidden =
        !text(row, 0).toLowerCase().includes(wanted) ||
        (complete.checked && values.includes(""));
    }
    let column = heads.findIndex((head) => head.dataset.key === sorted.key && !(isScore(head) && head.hidden));
    if (column < 0) {
      sorted = { key: DEFAULT, descending: true };
      column = sumColumn;
    }
    body.append(...rows.sort(comparator(column, sorted.descending)));
    for (const head of heads) {
      if (head.dataset.key === sorted.key) {
        head.setAttribute("aria-sort", sorted.descending ? "descending" : "ascending");
      } else {
        head.removeAttribute("aria-sort");
      }
    }
    tell(column);
    remember();
  }

  function tell(column) {
    const shown = rows.filter((row) => !row.hidden).length;
    const by = column === sumColumn ? "the sum of the scores shown" : heads[column].textContent.trim();
    const { up = "lowest first", down = "highest first" } = heads[column].dataset;
    const way = sorted.descending ? down : up;
    status.textContent = `${shown} of ${rows.length} models, by ${by}, ${way}.`;
  }

  function remember() {
    const state = new URLSearchParams();
    if (sorted.key !== DEFAULT) {
      state.set("sort", sorted.key);
      state.set("order", sorted.descending ? "down" : "up");
    }
    if (domain.value) {
      state.set("tasks", domain.value);
    }
    if (complete.checked) {
      state.set("complete", "yes");
    }
    if (find.value.trim()) {
      state.set("find", find.value.trim());
    }
    const chosen = picked().map((row) => row.dataset.slug);
    if (chosen.length) {
      state.set("models", chosen.join(","));
    }
    // Slugs are plain, so that the commas between them may stay commas.
    history.replaceState(null, "", `#${String(state).replaceAll("%2C", ",")}`);
    compare.href = chosen.length ? `compare.html#models=${chosen.join(",")}` : "compare.html";
    compare.textContent = chosen.length ? `Compare ${chosen.length}` : "Compare";
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    const key = state.get("sort");
    sorted = heads.some((head) => head.dataset.key === key)
      ? { key, descending: state.get("order") !== "up" }
      : { key: DEFAULT, descending: true };
    domain.value = state.get("tasks") ?? "";
    if (domain.selectedIndex < 0) {
      domain.value = "";
    }
    complete.checked = state.get("complete") === "yes";
    find.value = state.get("find") ?? "";
    const chosen = (state.get("models") ?? "").split(",");
    for (const row of rows) {
      row.querySelector(".pick").checked = chosen.includes(row.dataset.slug);
    }
    show();
  }

  // Once the way that is usual for the column, then the other, then the default again.
  function sortBy(head) {
    const first = isNumber(head);
    if (sorted.key !== head.dataset.key) {
      sorted = { key: head.dataset.key, descending: first };
    } else if (sorted.descending === first) {
      sorted = { key: head.dataset.key, descending: !first };
    } else {
      sorted = { key: DEFAULT, descending: true };
    }
    show();
  }

  for (const head of heads) {
    head.querySelector("button")?.addEventListener("click", () => sortBy(head));
  }
  for (const pick of table.querySelectorAll(".pick")) {
    pick.hidden = false;
    pick.addEventListener("change", remember);
  }
  find.addEventListener("input", show);
  domain.addEventListener("change", show);
  complete.addEventListener("change", show);
  document.getElementById("reset").addEventListener("click", () => {
    history.replaceState(null, "", "#");
    recall();
  });
  const form = document.getElementById("controls");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  addEventListener("hashchange", recall);
  recall();
})();
