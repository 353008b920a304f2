// What stands around the picture: the broken promises, the filters, the operations, the legend.

const ROWS_MAX = 500;

function swatch(colour) {
  const made = document.createElement("i");
  made.style.background = `var(--${colour})`;
  return made;
}

// --- What was broken ---

function listBroken() {
  const sizes = [counted(run.nodes.length, "node"), `${run.copies} copies`,
    counted(run.operations.length, "operation"), counted(messages.kind.length, "message"),
    counted(run.faults.length, "fault"), seconds(run.endsAt, 1)].join(", ");
  const verdict = run.broken.length ? counted(run.broken.length, "broken promise") : "kept every promise";
  document.getElementById("verdict").textContent = `${verdict}: ${sizes}`;
  document.getElementById("broken").replaceChildren(...run.broken.map((broken) => {
    const show = element("button", `show ${seconds(broken.at)}`);
    show.addEventListener("click", () => {
      hideTip();
      lookAtBroken(broken);
      choose();
      render();
    });
    const harm = broken.harm ? ` (${broken.harm})` : "";
    return element("li", "", show, element("b", broken.promise), document.createTextNode(
      `${harm}: ${broken.story}`), element("small", broken.means));
  }));
}

// --- Filters ---

function listKinds() {
  const used = groups.filter((_, group) => groupCounts[group]);
  document.getElementById("kinds").replaceChildren(...used.map((name) => {
    const group = groups.indexOf(name);
    const chip = element("button", "", swatch(name), document.createTextNode(
      `${name} ${groupCounts[group].toLocaleString("en")}`));
    chip.title = `${run.groups[group][1].join(", ")}; with Shift: only these`;
    chip.dataset.group = group;
    chip.addEventListener("click", (event) => {
      if (event.shiftKey) view.groups = new Set([group]);
      else if (!view.groups.delete(group)) view.groups.add(group);
      choose();
      render();
    });
    return chip;
  }));
}

function listSessions() {
  const select = document.getElementById("session");
  const wrong = new Set(run.broken.map((broken) => family(broken.session)));
  const all = [...families.values()].filter((each) => each.operations.length)
    .sort((a, b) => wrong.has(b.root) - wrong.has(a.root) || b.operations.length - a.operations.length);
  const options = all.map(({ root, sessions, operations }) => {
    const rotated = sessions.length > 1 ? `, ${sessions.length} ids` : "";
    const broken = wrong.has(root) ? ", broken" : "";
    const number = counted(operations.length, "operation");
    const option = element("option", `${shortId(root)}: ${number}${rotated}${broken}`);
    option.value = root;
    option.title = sessions.map((session) => run.sessions[session]).join(" → ");
    return option;
  });
  const every = element("option", `all ${all.length}`);
  every.value = NOTHING;
  select.replaceChildren(every, ...options);
  select.addEventListener("change", () => {
    view.family = Number(select.value);
    choose();
    render();
  });
}

function showFilters() {
  document.getElementById("session").value = view.family;
  for (const chip of document.querySelectorAll("#kinds button")) {
    chip.setAttribute("aria-pressed", view.groups.has(Number(chip.dataset.group)));
  }
}

// --- Operations ---

function listOperations() {
  const found = view.family === NOTHING
    ? [...run.operations.keys()].filter((number) => {
      const it = run.operations[number];
      return isInView(it.invoked, it.returned ?? it.invoked);
    })
    : families.get(view.family).operations;
  const few = found.length > ROWS_MAX ? `, the first ${ROWS_MAX} of them here` : "";
  const where = view.family === NOTHING
    ? "in view"
    : `of ${families.get(view.family).sessions.map((session) => run.sessions[session]).join(" → ")}`;
  document.getElementById("which").textContent = `${found.length} ${where}${few}`;
  document.getElementById("operations").replaceChildren(...found.slice(0, ROWS_MAX).map(operationRow));
}

function operationRow(number) {
  const it = run.operations[number];
  const took = it.returned === null ? "never" : `${((it.returned - it.invoked) * 1000).toFixed(0)} ms`;
  const told = element("td", "", swatch(it.outcome), document.createTextNode(answerOf(it)));
  const row = element("tr", "", ...[it.invoked.toFixed(3), it.client, asked(it), shortId(it.session),
    nodeName(it.node)].map((text) => element("td", text)), told, element("td", took));
  row.title = run.sessions[it.session];
  row.classList.toggle("wrong", brokenByOperation.has(number));
  row.addEventListener("click", () => {
    const half = Math.min(view.until - view.since, 4) / 2;
    setWindow(it.invoked - half, it.invoked + half);
    render();
    picture.scrollIntoView({ block: "nearest" });
    showTip({ operation: number }, picture.getBoundingClientRect().left + x(it.invoked), 80);
  });
  return row;
}

// --- Legend ---

const LEGEND = [
  ["Rows", "Time goes from left to right. On top what went wrong; below it a row for each client; "
    + "then for each home who acts for it; then a line for each node, in ring order."],
  ["Messages", "are arrows from when they were sent to when they arrived, coloured by kind; a "
    + "short one with a cross never arrived."],
  ["Operations", "are coloured by what the client was told."],
  ["Nodes", "solid: ready; dotted: recovering; dashed: draining; blue: frozen; red: down. Strips "
    + "below a line are ways to other nodes, in ring order, that were cut (red), stalled (orange) "
    + "or slow (yellow), and, on top of them, a disk that failed or was slow (brown)."],
  ["Records", "With a session chosen, a circle is a moment at which a node changed what it has of "
    + "it; a small one, dropped it; a square, had its end. Point at a line to see what the node "
    + "has there."],
  ["Stamps", "of entries are read from the clock of who wrote them, which may be wrong."],
  ["Moving", "Drag, or arrow keys; turn the wheel, or + and −; 0 for the whole run. Click to keep "
    + "what is said about something, Escape to let it go. The address keeps what is looked at."],
];

function listLegend() {
  const outcomes = element("p", "", element("b", "Answers "));
  for (const outcome of OUTCOMES) {
    const mark = swatch(outcome);
    mark.className = "mark";
    outcomes.append(mark, ` ${outcome}  `);
  }
  document.getElementById("legend").replaceChildren(
    ...LEGEND.map(([name, text]) => element("p", "", element("b", `${name} `), text)), outcomes);
}
