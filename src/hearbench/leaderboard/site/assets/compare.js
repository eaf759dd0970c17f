// Puts chosen models side by side; which ones stands in the address.
"use strict";

(() => {
  const MOST = 6;
  const SVG = "http://www.w3.org/2000/svg";
  const { tasks, models, domains } = JSON.parse(document.getElementById("data").textContent);
  const choice = document.getElementById("model");
  const domain = document.getElementById("domain");
  const table = document.getElementById("compared");
  const status = document.getElementById("status");
  const add = document.getElementById("add");
  let chosen = [];

  // All text goes in as text, so no name is ever read as HTML.
  function element(name, content = "", attributes = {}) {
    const made = document.createElement(name);
    made.append(...[content].flat());
    for (const [key, value] of Object.entries(attributes)) {
      made.setAttribute(key, value);
    }
    return made;
  }

  function bar(score) {
    const svg = document.createElementNS(SVG, "svg");
    const all = { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" };
    for (const [key, value] of Object.entries(all)) {
      svg.setAttribute(key, value);
    }
    for (const [name, width] of [["track", 100], ["fill", 100 * score]]) {
      const rect = document.createElementNS(SVG, "rect");
      rect.setAttribute("class", name);
      rect.setAttribute("width", width);
      rect.setAttribute("height", 6);
      svg.append(rect);
    }
    return svg;
  }

  const none = () => [
    element("span", "–", { "aria-hidden": "true" }),
    element("span", "none", { class: "unseen" }),
  ];

  // Four significant digits, as on the other pages.
  const digits = (value) => value.toPrecision(4);

  function fillChoice() {
    const left = models.filter((model) => !chosen.includes(model));
    const before = choice.value;
    choice.replaceChildren(
      ...left.map((model) => element("option", model.own ? `${model.name} (yours)` : model.name, { value: model.slug })),
    );
    if (left.some((model) => model.slug === before)) {
      choice.value = before;
    }
    add.disabled = chosen.length >= MOST || !left.length;
  }

  function head() {
    const cells = chosen.map((model) => {
      const link = element("a", element("bdi", model.name), { href: `models/${model.slug}.html` });
      const remove = element("button", "Remove", { type: "button", "aria-label": `Remove ${model.name}` });
      remove.addEventListener("click", () => choose(chosen.filter((other) => other !== model)));
      return element("th", [link, remove], { scope: "col" });
    });
    return element("tr", [element("th", "Task", { scope: "col", class: "fixed" }), ...cells]);
  }

  function line(task, position) {
    const scores = chosen.map((model) => model.scores[position]);
    const known = scores.filter((score) => score !== null);
    const best = Math.max(...known);
    const cells = scores.map((score, i) => {
      if (score === null) {
        const heard = chosen[i].heard[position];
        const said = heard === undefined ? none() : [`${digits(heard)} †`, element("span", " trained on the test", { class: "unseen" })];
        return element("td", said, { class: "number" });
      }
      const isBest = known.length > 1 && score === best;
      const said = isBest ? [element("b", digits(score)), element("span", " best", { class: "unseen" })] : [digits(score)];
      return element("td", [...said, bar(score)], { class: isBest ? "number best" : "number" });
    });
    const name = element("a", task.name, { href: `tasks/${task.slug}.html` });
    return element("tr", [element("th", name, { scope: "row", class: "fixed" }), ...cells]);
  }

  function foot(positions) {
    const shared = positions.filter((position) => chosen.every((model) => model.scores[position] !== null));
    const compared = positions.filter(
      (position) => chosen.filter((model) => model.scores[position] !== null).length > 1,
    );
    const wins = chosen.map(
      (model) =>
        compared.filter(
          (position) =>
            model.scores[position] !== null &&
            chosen.every((other) => (other.scores[position] ?? 0) <= model.scores[position]),
        ).length,
    );
    const means = chosen.map((model) =>
      shared.length
        ? digits(shared.reduce((sum, position) => sum + model.scores[position], 0) / shared.length)
        : none(),
    );
    const row = (title, values) =>
      element("tr", [
        element("th", title, { scope: "row", class: "fixed" }),
        ...values.map((value) => element("td", value, { class: "number" })),
      ]);
    const rows = [row(`Mean of the ${shared.length} scores that all of them have`, means)];
    if (chosen.length > 1) {
      rows.unshift(row(`Best, of ${compared.length} tasks that two or more have`, wins.map(String)));
    }
    return rows;
  }

  function show() {
    const positions = [...tasks.keys()].filter(
      (position) => domain.value === "" || tasks[position].domain === domain.value,
    );
    table.tHead.replaceChildren(head());
    table.tBodies[0].replaceChildren(...positions.map((position) => line(tasks[position], position)));
    table.tFoot.replaceChildren(...foot(positions));
    document.getElementById("result").hidden = !chosen.length;
    const which = domain.value ? `, ${domains[domain.value].toLowerCase()} only` : "";
    status.textContent = chosen.length
      ? `${chosen.length} of at most ${MOST} models${which}.`
      : `Add up to ${MOST} models to see them side by side.`;
    fillChoice();
    const state = new URLSearchParams();
    if (domain.value) {
      state.set("tasks", domain.value);
    }
    const slugs = chosen.map((model) => model.slug).join(",");
    // Slugs are plain, so that the commas between them may stay commas.
    const parts = [slugs && `models=${slugs}`, String(state)].filter(Boolean);
    history.replaceState(null, "", `#${parts.join("&")}`);
    document.getElementById("link").value = location.href;
  }

  function choose(list) {
    chosen = list.slice(0, MOST);
    show();
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    domain.value = state.get("tasks") ?? "";
    if (domain.selectedIndex < 0) {
      domain.value = "";
    }
    const wanted = new Set((state.get("models") ?? "").split(","));
    choose([...wanted].flatMap((slug) => models.filter((model) => model.slug === slug)));
  }

  add.addEventListener("click", () => {
    const model = models.find((other) => other.slug === choice.value);
    if (model) {
      choose([...chosen, model]);
    }
  });
  document.getElementById("clear").addEventListener("click", () => choose([]));
  domain.addEventListener("change", show);
  const copy = document.getElementById("copy");
  const link = document.getElementById("link");
  link.addEventListener("focus", () => link.select());
  if (navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(link.value);
        status.textContent = "The link is copied.";
      } catch {
        link.select(); // not allowed: the keyboard can still copy it
      }
    });
  }
  const form = document.getElementById("controls");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  addEventListener("hashchange", recall);
  recall();
})();
