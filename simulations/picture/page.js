// The page: it draws once for each turn in which something was asked for.

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
let isDue = false;

function render() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => { if (isDue) renderNow(); });
}

function renderNow() {
  isDue = false;
  showFilters();
  paint();
  paintOverview();
  listOperations();
  writeAddress();
  const said = document.getElementById("drawn");
  const window_ = `${seconds(view.since, 2)} to ${seconds(view.until, 2)}`;
  said.textContent = `${window_}: ${drawn.messages.toLocaleString("en")} of `
    + [counted(messages.kind.length, "message"), counted(drawn.operations, "operation"),
      counted(drawn.faults, "fault")].join(", ");
  for (const what of ["messages", "operations", "faults", "bands", "records"]) {
    said.dataset[what] = drawn[what];
  }
}

function begin() {
  readAddress();
  readColours();
  listBroken();
  listKinds();
  listSessions();
  listLegend();
  listenToPointer();
  listenToKeys();
  const act = (id, action) => document.getElementById(id).addEventListener("click", () => {
    hideTip();
    action();
    render();
  });
  act("back", () => pan(-0.2));
  act("on", () => pan(0.2));
  act("in", () => zoom(0.6));
  act("out", () => zoom(1 / 0.6));
  act("all", lookAtEverything);
  act("theme", () => {
    const isDark = view.theme ? view.theme === "dark" : prefersDark.matches;
    view.theme = isDark ? "light" : "dark";
    readColours();
  });
  addEventListener("hashchange", () => {
    readAddress();
    readColours();
    render();
  });
  addEventListener("resize", render);
  prefersDark.addEventListener("change", () => {
    readColours();
    render();
  });
  renderNow();
}

begin();
