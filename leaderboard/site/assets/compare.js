/* Choosing the two rows of a comparison. They live in the URL's fragment: #first=<row>&second=<row>
   The numbers, intervals and p-values were computed when the site was built; here they are only put into the tables. */
"use strict";

(function () {
  const place = document.getElementById("comparison");
  if (!place) return;
  const { element, load } = avbench;
  const METRICS = ["S", "U", "HM", "ZSL"];
  const rows = new Map(), classes = new Map(), known = new Map();
  avbench.row = (key, data) => rows.set(key, data);
  avbench.classes = (key, data) => classes.set(key, data);
  for (const line of document.querySelectorAll("#rows tbody tr")) known.set(line.dataset.row, line);
  const folder = new URL(`${place.dataset.folder}/`, location.href.split("#")[0]);

  /* ---- numbers as text, as the pages have them ---- */

  const percent = (value, digits) => value.toFixed(digits);
  const signed = (value, digits) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(digits);
  const chance = (p) => (p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`);
  const cell = (text) => element("td", { class: "n" }, text);
  const head = (text) => element("th", { scope: "row" }, text);

  function spread([mean, deviation]) {
    const made = cell(percent(mean, 2));
    if (deviation !== null) made.append(element("span", { class: "dev" }, ` \u00b1\u00a0${percent(deviation, 2)}`));
    return made;
  }

  /* ---- the tables ---- */

  function fill(id, lines) {
    const table = document.getElementById(id);
    table.tBodies[0].replaceChildren(...lines);
    table.dispatchEvent(new Event("rowschange"));
  }

  function numbers(first, second) {
    const tests = first.tests[second.key] || second.tests[first.key];
    return METRICS.map((metric, index) => {
      const points = second.numbers[index][0] - first.numbers[index][0];
      const line = element("tr", {}, head(metric), spread(first.numbers[index]), spread(second.numbers[index]), cell(signed(points, 2)));
      if (first === second || !tests) line.append(cell("\u2013"), cell("\u2013"));
      else {
        const [half, p] = tests[index];
        const last = cell(chance(p));
        last.dataset.value = p;
        line.append(cell(`${signed(points - half, 2)} to ${signed(points + half, 2)}`), last);
      }
      return line;
    });
  }

  function options(first, second) {
    const names = new Set([...Object.keys(first.options), ...Object.keys(second.options)]);
    const lines = [];
    for (const name of names) {
      const [one, other] = [first, second].map((row) => (name in row.options ? row.options[name] : "\u2013"));
      if (one !== other) lines.push(element("tr", {}, head(name), element("td", {}, one), element("td", {}, other)));
    }
    return lines.length ? lines : [element("tr", {}, element("td", { colspan: 3 }, "Nothing but the seeds."))];
  }

  function perClass(first, second) {
    const [seen, unseen] = classes.get(first.classes);
    return [...seen, ...unseen].map((name, index) => {
      const alone = index - seen.length;
      const line = element("tr", {}, head(name), element("td", {}, alone < 0 ? "seen" : "unseen"));
      for (const [side, at] of [[0, index], [1, alone]]) {
        if (at < 0) { line.append(cell("\u2013"), cell("\u2013"), cell("\u2013")); continue; }
        const [one, other] = [first.recalls[side][at], second.recalls[side][at]];
        line.append(cell(percent(one, 1)), cell(percent(other, 1)), cell(signed(other - one, 1)));
      }
      return line;
    });
  }

  /* ---- choosing ---- */

  function choice(name, words) {
    const select = element("select", { id: `${name}-row` });
    let group = null;
    for (const [key, line] of known) {
      const [label, protocol, hm] = Array.from(line.cells, (each) => each.textContent.trim());
      const title = `${protocol}, features ${line.cells[4].textContent.trim()}`;
      if (!group || group.label !== title) select.append(group = element("optgroup", { label: title }));
      group.append(element("option", { value: key }, `${label}, HM ${hm}`));
    }
    select.addEventListener("change", () => show(name));
    return [select, element("div", {}, element("label", { for: select.id }, words), select)];
  }

  const [first, firstLine] = choice("first", "First");
  const [second, secondLine] = choice("second", "Second");
  const said = element("output", { "aria-live": "polite" });
  const swap = element("button", { type: "button", class: "plain-button" }, "Swap");
  swap.addEventListener("click", () => { [first.value, second.value] = [second.value, first.value]; show("first"); });

  const groupOf = (select) => known.get(select.value).dataset.group;

  /* The row that was not changed gives way where both are not on the same features. */
  function agree(changed) {
    const [kept, other] = changed === "first" ? [first, second] : [second, first];
    if (groupOf(kept) === groupOf(other)) return;
    const same = Array.from(known).filter(([, line]) => line.dataset.group === groupOf(kept)).map(([key]) => key);
    other.value = same.find((key) => key !== kept.value) || kept.value;
  }

  async function show(changed) {
    agree(changed);
    const keys = [first.value, second.value], group = groupOf(first);
    try {
      await Promise.all([...keys, group].map((name) => load(new URL(`${name}.js`, folder))));
    } catch (error) {
      said.textContent = `${error.message}: the numbers of a row are missing beside this page`;
      return;
    }
    if (keys[0] !== first.value || keys[1] !== second.value) return; /* chosen anew meanwhile */
    const pair = keys.map((key) => rows.get(key));
    fill("differences", numbers(...pair));
    fill("options", options(...pair));
    fill("classes", perClass(...pair));
    const difference = pair[1].numbers[2][0] - pair[0].numbers[2][0];
    said.textContent = `HM ${signed(difference, 2)} from first to second`;
    const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
    state.set("first", keys[0]);
    state.set("second", keys[1]);
    history.replaceState(null, "", `#${state}`);
  }

  function restore() {
    const state = new URLSearchParams(location.hash.slice(1));
    const asked = ["first", "second"].map((name) => state.get(name));
    if (!asked.some((key) => known.has(key))) return;
    [first, second].forEach((select, index) => { if (known.has(asked[index])) select.value = asked[index]; });
    show(known.has(asked[0]) ? "first" : "second");
  }

  first.value = place.dataset.first;
  second.value = place.dataset.second;
  place.querySelector(".chosen").replaceWith(element("div", { class: "tools chosen" }, firstLine, secondLine, swap, said));
  restore();
  addEventListener("hashchange", restore);
})();
