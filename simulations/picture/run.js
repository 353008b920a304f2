"use strict";
// The run: what the page was given, and what can be asked of it. Nothing here is drawn.

window.addEventListener("error", (event) => {
  const said = document.createElement("p");
  said.id = "failed";
  said.textContent = `This page has failed: ${event.message}`;
  document.body.prepend(said);
});

const run = JSON.parse(document.getElementById("run").textContent);
const messages = run.messages;
const groupOfKind = run.kinds.map((kind) => run.groups.findIndex(([, kinds]) => kinds.includes(kind)));
const groups = run.groups.map(([name]) => name);
const STATUS = groups.indexOf("status");
const NOTHING = -1;

const family = (session) => (session === NOTHING ? NOTHING : run.families[session]);
const sessionOfShown = (shown) => run.shown[shown][0];
const nodeName = (node) => run.nodes[node];
const seconds = (time, digits = 3) => `${time.toFixed(digits)} s`;
const counted = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
const asked = (it) => (["find", "end"].includes(it.kind) ? it.kind : `${it.kind} ${it.version}`);
const shortId = (session) => {
  const id = run.sessions[session];
  return id.length > 16 ? `${id.slice(0, 12)}…` : id;
};

/** The families that a message is about; of a rotation that is one. */
const familiesOfMessage = messages.shown.map((all) => all.map((shown) => family(sessionOfShown(shown))));

/** By family: its sessions, its operations, and what the nodes have had of it, in order of time. */
const families = new Map();
run.families.forEach((root, session) => {
  if (!families.has(root)) families.set(root, { root, sessions: [], operations: [], kept: [] });
  families.get(root).sessions.push(session);
});
run.operations.forEach((operation, number) => {
  families.get(family(operation.session)).operations.push(number);
});
for (const kept of run.kept) families.get(family(sessionOfShown(kept[2]))).kept.push(kept);

const groupCounts = groups.map(() => 0);
messages.kind.forEach((kind) => { groupCounts[groupOfKind[kind]] += 1; });

const brokenByOperation = new Map();
run.broken.forEach((broken, number) => {
  if (broken.operation !== null && !brokenByOperation.has(broken.operation)) {
    brokenByOperation.set(broken.operation, number);
  }
});

/** Return what is so at a time, of a list of spans. */
const at = (spans, time) => spans.filter(([since, until]) => since <= time && time < until);

/** Return what a node has of a family at a time: the latest of each of its sessions. */
function keptAt(root, node, time) {
  const latest = new Map();
  for (const [since, where, shown] of families.get(root).kept) {
    if (since > time) break;
    if (where === node) latest.set(sessionOfShown(shown), shown);
  }
  return [...latest.values()].filter((shown) => hasSomething(shown));
}

/** Whether there is anything: who has nothing has neither a digest nor another note. */
const hasSomething = (shown) => run.texts[run.shown[shown][1]] !== "";
