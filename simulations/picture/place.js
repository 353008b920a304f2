// Where things are in the picture, and in which colours: rows for faults, clients, homes and nodes.

const GUTTER = 92;
const AXIS = 22;
const FAULT_ROW = 16;
const FAULT_ROWS_MAX = 4;
const HOME_ROW = 14;
const NODE_ROOM = { least: 44, most: 120 };
const STRIP = 3;
const OUTCOMES = ["ok", "degraded", "failed", "unknown"];

const picture = document.getElementById("picture");
const overview = document.getElementById("overview");

// --- Colours ---

let colours = {};

function readColours() {
  document.documentElement.style.colorScheme = view.theme || "light dark";
  const probe = document.body.appendChild(document.createElement("i"));
  const names = ["page", "panel", "ink", "soft", "rule", "wrong", "wrong-faint", "healed", "ice",
    ...OUTCOMES, ...OUTCOMES.map((outcome) => `on-${outcome}`),
    ...groups, ...run.nodes.map((_, node) => `node-${node}`)];
  colours = Object.fromEntries(names.map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, getComputedStyle(probe).color];
  }));
  probe.remove();
}

const nodeColour = (node) => colours[`node-${node}`];

// --- Where things are ---

let place = {};

function arrange() {
  const width = picture.clientWidth;
  const faultsTop = AXIS + 4;
  const faultRows = Math.min(run.faults.length, FAULT_ROWS_MAX);
  const clientsTop = faultsTop + faultRows * FAULT_ROW + 6;
  const clientRow = run.clients > 6 ? 13 : 16;
  const homesTop = clientsTop + run.clients * clientRow + 8;
  const nodesTop = homesTop + run.nodes.length * HOME_ROW + 10;
  // So much that the whole run, below, can be seen as well, if the window is high enough.
  const left = innerHeight - picture.offsetTop - nodesTop - 90;
  const room = Math.max(NODE_ROOM.least, Math.min(NODE_ROOM.most, left / run.nodes.length));
  const height = Math.round(nodesTop + room * run.nodes.length + 6);
  place = { width, height, faultsTop, faultRows, clientsTop, clientRow, homesTop, nodesTop, room };
}

const x = (time) =>
  GUTTER + ((time - view.since) / (view.until - view.since)) * (place.width - GUTTER - 8);
const timeAt = (left) =>
  view.since + ((left - GUTTER) / (place.width - GUTTER - 8)) * (view.until - view.since);
const nodeY = (node) => place.nodesTop + place.room * (node + 0.4);
const clientY = (client) => place.clientsTop + place.clientRow * (client + 0.5);
const homeY = (home) => place.homesTop + HOME_ROW * home;
const isInView = (since, until) => since <= view.until && until >= view.since;

function prepared(canvas, width, height) {
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.textBaseline = "middle";
  pen.font = "12px system-ui, sans-serif";
  return pen;
}

// --- Lines and words ---

function line(pen, x1, y1, x2, y2, colour, width = 1, dash = []) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
  pen.setLineDash([]);
}

function words(pen, text, left, top, colour, align = "left") {
  pen.fillStyle = colour;
  pen.textAlign = align;
  pen.fillText(text, left, top);
}

/** Write a text into a box, or not at all, if there is no room. */
function wordsWithin(pen, text, left, right, top, colour) {
  const start = Math.max(left, GUTTER) + 3;
  if (pen.measureText(text).width <= Math.min(right, place.width) - start - 2) {
    words(pen, text, start, top, colour);
  }
}
