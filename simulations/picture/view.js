// What is looked at: a window of time, a session and kinds of messages; kept in the address.

const WINDOW_LEAST_S = 0.002;
const FIRST_MESSAGES = 1200;

const view = {
  since: 0,
  until: 1,
  family: NOTHING,
  groups: new Set(groups.keys()),
  theme: "",
};

/** By message: whether its session and its kind are looked at. */
let chosen = new Uint8Array(messages.kind.length);

function choose() {
  chosen = Uint8Array.from(messages.kind, (kind, number) => {
    if (!view.groups.has(groupOfKind[kind])) return 0;
    return view.family === NOTHING || familiesOfMessage[number].includes(view.family) ? 1 : 0;
  });
}

const isChosenOperation = (operation) =>
  view.family === NOTHING || family(operation.session) === view.family;

function setWindow(since, until) {
  const longest = Math.max(run.endsAt * 1.02, 1);
  const length = Math.min(Math.max(until - since, WINDOW_LEAST_S), longest);
  const middle = (since + until) / 2;
  const edge = run.endsAt * 0.01;
  const start = Math.min(Math.max(middle - length / 2, -edge), run.endsAt + edge - length);
  view.since = Math.max(start, -edge);
  view.until = view.since + length;
}

function zoom(factor, around = (view.since + view.until) / 2) {
  setWindow(around - (around - view.since) * factor, around + (view.until - around) * factor);
}

function pan(share) {
  const length = view.until - view.since;
  setWindow(view.since + share * length, view.until + share * length);
}

function lookAtEverything() {
  setWindow(-run.endsAt * 0.01, run.endsAt * 1.01);
}

/** Look at how a promise was broken. */
function lookAtBroken(broken) {
  view.family = family(broken.session);
  setWindow(broken.since, broken.until);
}

/** Begin where something went wrong; else where it begins to, with no more than can be seen. */
function lookAtTheBeginning() {
  view.groups.delete(STATUS);
  if (run.broken.length) {
    lookAtBroken(run.broken[0]);
    return;
  }
  const sent = messages.sent.filter((_, number) => groupOfKind[messages.kind[number]] !== STATUS);
  if (sent.length <= FIRST_MESSAGES) {
    lookAtEverything();
    return;
  }
  const first = run.faults.length ? Math.max(0, run.faults[0].at - 1) : 0;
  const start = sent.findIndex((time) => time >= first);
  setWindow(first, sent[Math.min(start + FIRST_MESSAGES, sent.length - 1)]);
}

let address = "";

function readAddress() {
  address = location.hash;
  lookAtTheBeginning();
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.has("session")) {
    const session = run.sessions.indexOf(asked.get("session"));
    view.family = session < 0 ? NOTHING : family(session);
  }
  if (asked.has("kinds")) {
    const names = asked.get("kinds").split(",");
    view.groups = new Set([...groups.keys()].filter((group) => names.includes(groups[group])));
  }
  const [since, until] = ["from", "to"].map((name) => parseFloat(asked.get(name)));
  if (until > since) setWindow(since, until);
  view.theme = ["light", "dark"].includes(asked.get("theme")) ? asked.get("theme") : "";
  choose();
}

function writeAddress() {
  if (location.hash !== address) return; // Somebody has just changed it: it is to be read.
  const kinds = [...view.groups].sort((a, b) => a - b).map((each) => groups[each]);
  const shared = new URLSearchParams();
  shared.set("session", view.family === NOTHING ? "" : run.sessions[view.family]);
  shared.set("kinds", kinds.join(","));
  shared.set("from", view.since.toFixed(4));
  shared.set("to", view.until.toFixed(4));
  if (view.theme) shared.set("theme", view.theme);
  // Files may refuse to have their address changed; then there is nothing to share.
  try {
    history.replaceState(null, "", `#${shared}`);
    address = location.hash;
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
}
