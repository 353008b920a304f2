// The picture itself: what is behind comes first.

const HEADS_MAX = 1500;
const WORDS_MAX = 60;

/** What was drawn where, for whoever points at it; and how much of it there is. */
let drawn = { hits: [], messages: 0, operations: 0, faults: 0, bands: 0, records: 0 };

function paint() {
  arrange();
  const pen = prepared(picture, place.width, place.height);
  drawn = { hits: [], messages: 0, operations: 0, faults: 0, bands: 0, records: 0 };
  pen.fillStyle = colours.page;
  pen.fillRect(0, 0, place.width, place.height);
  paintLabels(pen);
  pen.save();
  pen.beginPath();
  pen.rect(GUTTER, 0, place.width - GUTTER, place.height);
  pen.clip();
  paintTime(pen);
  paintHomes(pen);
  paintNodes(pen);
  paintMessages(pen);
  paintTroubles(pen);
  paintOperations(pen);
  paintMarks(pen);
  paintRecords(pen);
  paintFaults(pen);
  paintBroken(pen);
  pen.restore();
}

function paintLabels(pen) {
  const end = GUTTER - 8;
  if (run.faults.length) words(pen, "faults", end, place.faultsTop + FAULT_ROW / 2, colours.wrong, "right");
  for (let client = 0; client < run.clients; client += 1) {
    words(pen, `client ${client}`, end, clientY(client), colours.soft, "right");
  }
  run.nodes.forEach((name, node) => {
    words(pen, `for ${name} acts`, end, homeY(node) + HOME_ROW / 2, colours.soft, "right");
    const y = nodeY(node);
    pen.fillStyle = nodeColour(node);
    pen.fillRect(GUTTER - 30, y - 10, 22, 20);
    pen.font = "bold 13px system-ui, sans-serif";
    words(pen, name, GUTTER - 19, y + 1, colours.ink, "center");
    pen.font = "12px system-ui, sans-serif";
    if (run.core.includes(name)) words(pen, "core", GUTTER - 36, y + 1, colours.soft, "right");
  });
}

function paintTime(pen) {
  const raw = (view.until - view.since) / Math.max(2, (place.width - GUTTER) / 110);
  const ten = 10 ** Math.floor(Math.log10(raw));
  const step = ten * [1, 2, 5, 10].find((each) => each * ten >= raw);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  for (let tick = Math.ceil(view.since / step); tick * step <= view.until; tick += 1) {
    const left = x(tick * step);
    line(pen, left, AXIS, left, place.height, colours.rule);
    const isWhole = left > GUTTER + 24 && left < place.width - 24;
    if (isWhole) words(pen, seconds(tick * step, digits), left, AXIS / 2, colours.soft, "center");
  }
  for (const fault of run.faults) {
    if (!isInView(fault.at, fault.at)) continue;
    line(pen, x(fault.at), place.faultsTop, x(fault.at), place.height, colours["wrong-faint"]);
  }
  for (const [time, text] of [[run.healedAt, "healed"], [run.endsAt, "end"]]) {
    if (time === null || !isInView(time, time)) continue;
    line(pen, x(time), AXIS, x(time), place.height, colours.healed, 1.5, [5, 4]);
    words(pen, text, x(time) - 4, place.height - 8, colours.healed, "right");
  }
}

/** Where two act for one home at the same time: since when, until when, home, and both nodes. */
const actingBoth = run.acting.flatMap(([since, until, [home, node]]) =>
  run.acting
    .filter((other) => other[2][0] === home && node < other[2][1] && other[0] < until && since < other[1])
    .map((other) => [Math.max(since, other[0]), Math.min(until, other[1]), home, node, other[2][1]]));

function paintHomes(pen) {
  const height = HOME_ROW - 2;
  run.acting.forEach(([since, until, [home, node]], number) => {
    if (!isInView(since, until)) return;
    const [left, right, top] = [x(since), Math.max(x(until), x(since) + 1), homeY(home)];
    pen.fillStyle = nodeColour(node);
    pen.fillRect(left, top, right - left, height);
    wordsWithin(pen, nodeName(node), left, right, top + height / 2 + 0.5, colours.ink);
    drawn.bands += 1;
    drawn.hits.push({ left, right, top, bottom: top + height, band: number });
  });
  for (const [since, until, home, ...both] of actingBoth) {
    if (!isInView(since, until)) continue;
    both.forEach((node, half) => {
      pen.fillStyle = nodeColour(node);
      const width = Math.max(1, x(until) - x(since));
      pen.fillRect(x(since), homeY(home) + (half * height) / 2, width, height / 2);
    });
    line(pen, x(since), homeY(home) + height / 2, x(until), homeY(home) + height / 2, colours.wrong, 1);
  }
}

const stateStyles = {
  ready: (pen, left, right, y) => line(pen, left, y, right, y, colours.ink, 2.5),
  recovering: (pen, left, right, y) => line(pen, left, y, right, y, colours.ink, 1.5, [3, 4]),
  draining: (pen, left, right, y) => line(pen, left, y, right, y, colours.degraded, 2.5, [9, 3]),
  down: (pen, left, right, y) => {
    pen.fillStyle = colours["wrong-faint"];
    pen.fillRect(left, y - 5, right - left, 10);
    wordsWithin(pen, "down", left + 8, right, y + 0.5, colours.wrong);
  },
  frozen: (pen, left, right, y) => {
    pen.fillStyle = colours.ice;
    pen.fillRect(left, y - 5, right - left, 10);
    wordsWithin(pen, "frozen", left, right, y + 0.5, colours.ink);
  },
};

const troubleColours = { cut: "wrong", stalled: "releases", slow: "degraded" };

function paintNodes(pen) {
  run.states.forEach(([since, until, [node], what]) => {
    if (isInView(since, until)) stateStyles[what](pen, x(since), x(until), nodeY(node));
  });
}

function paintTroubles(pen) {
  run.troubles.forEach(([since, until, [node, other], what]) => {
    if (!isInView(since, until)) return;
    // Under the line a strip for each other node, and one for the disk.
    const row = other === undefined ? 0 : 1 + other;
    const top = nodeY(node) + 8 + row * (STRIP + 1);
    const [left, right] = [x(since), Math.max(x(until), x(since) + 1)];
    pen.fillStyle = colours[other === undefined ? "ring" : troubleColours[what]];
    pen.fillRect(left, top, right - left, STRIP);
  });
}

function paintMessages(pen) {
  const seen = [];
  for (let number = 0; number < chosen.length; number += 1) {
    if (!chosen[number]) continue;
    const sent = messages.sent[number];
    if (isInView(sent, messages.arrived[number] ?? sent)) seen.push(number);
  }
  drawn.messages = seen.length;
  const hasHeads = seen.length <= HEADS_MAX;
  const strength = seen.length < 400 ? 1 : seen.length < 3000 ? 0.7 : 0.4;
  // Few strokes of many lines each: a stroke for each line takes seconds where there are many.
  const byGroup = groups.map(() => []);
  for (const number of seen) byGroup[groupOfKind[messages.kind[number]]].push(number);
  // Heartbeats are many, and mean little: all else is on top of them.
  for (const group of [STATUS, ...groups.keys()]) {
    const some = byGroup[group];
    pen.globalAlpha = group === STATUS ? strength * strength * 0.6 : strength;
    pen.strokeStyle = pen.fillStyle = colours[groups[group]];
    pen.lineWidth = seen.length < 400 ? 1.5 : 1;
    pen.beginPath();
    for (const number of some) strokeArrow(pen, number, hasHeads);
    pen.stroke();
    byGroup[group] = [];
  }
  pen.globalAlpha = 1;
  if (seen.length <= WORDS_MAX) paintKinds(pen, seen);
}

/** Return where a message is drawn; what never arrived ends on its way. */
function endsOf(number) {
  const [x1, y1] = [x(messages.sent[number]), nodeY(messages.sender[number])];
  const y2 = nodeY(messages.receiver[number]);
  const arrived = messages.arrived[number];
  return arrived === null ? [x1, y1, x1 + 14, y1 + (y2 - y1) * 0.35] : [x1, y1, x(arrived), y2];
}

function strokeArrow(pen, number, hasHead) {
  const [x1, y1, x2, y2] = endsOf(number);
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  if (messages.arrived[number] === null) {
    pen.moveTo(x2 - 3, y2 - 3);
    pen.lineTo(x2 + 3, y2 + 3);
    pen.moveTo(x2 - 3, y2 + 3);
    pen.lineTo(x2 + 3, y2 - 3);
  } else if (hasHead) {
    const length = Math.hypot(x2 - x1, y2 - y1) || 1;
    const [dx, dy] = [(x2 - x1) / length, (y2 - y1) / length];
    pen.moveTo(x2 - 7 * dx - 3 * dy, y2 - 7 * dy + 3 * dx);
    pen.lineTo(x2, y2);
    pen.lineTo(x2 - 7 * dx + 3 * dy, y2 - 7 * dy - 3 * dx);
  }
}

/** Write the kinds of messages beside them, as long as no word comes too near to another. */
function paintKinds(pen, seen) {
  const written = [];
  for (const number of seen) {
    const [x1, y1, x2, y2] = endsOf(number);
    const kind = run.kinds[messages.kind[number]];
    const middle = [x1 + (x2 - x1) * 0.4, y1 + (y2 - y1) * 0.4];
    const isLong = Math.hypot(x2 - x1, y2 - y1) > pen.measureText(kind).width + 24;
    const isFree = written.every(([left, top]) =>
      Math.abs(left - middle[0]) > 18 || Math.abs(top - middle[1]) > 70);
    if (!isLong || !isFree) continue;
    written.push(middle);
    paintKind(pen, number, endsOf(number));
  }
}

function paintKind(pen, number, [x1, y1, x2, y2]) {
  const kind = run.kinds[messages.kind[number]];
  pen.save();
  pen.translate(x1 + (x2 - x1) * 0.4, y1 + (y2 - y1) * 0.4);
  pen.rotate(Math.atan2(y2 - y1, x2 - x1) + (x2 < x1 ? Math.PI : 0));
  pen.font = "11px system-ui, sans-serif";
  words(pen, kind, 0, -7, colours[groups[groupOfKind[messages.kind[number]]]], "center");
  pen.restore();
}

/** Show what nodes have of the session that is looked at, whenever that has changed. */
function paintRecords(pen) {
  if (view.family === NOTHING) return;
  for (const [time, node, shown] of families.get(view.family).kept) {
    if (!isInView(time, time)) continue;
    const [left, y] = [x(time), nodeY(node)];
    const note = run.texts[run.shown[shown][1]];
    pen.fillStyle = note.startsWith("ended") ? colours.ink : note === "" ? colours.page : nodeColour(node);
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 1.2;
    pen.beginPath();
    if (note.startsWith("ended")) pen.rect(left - 4, y - 4, 8, 8);
    else pen.arc(left, y, note === "" ? 3 : 4.5, 0, 7);
    pen.fill();
    pen.stroke();
    drawn.records += 1;
    drawn.hits.push({ left: left - 5, right: left + 5, top: y - 5, bottom: y + 5, shown, node, time });
  }
}

function paintMarks(pen) {
  const seen = run.marks.filter(([time]) => isInView(time, time));
  const free = run.nodes.map(() => -Infinity);
  pen.font = "11px system-ui, sans-serif";
  for (const [time, node, text] of seen) {
    const [left, y] = [x(time), nodeY(node)];
    const said = run.texts[text];
    const isLoss = said === "crash";
    line(pen, left, y - 9, left, y - 3, isLoss ? colours.wrong : colours.soft, isLoss ? 2 : 1);
    if (isLoss) words(pen, "✕", left, y, colours.wrong, "center");
    if (seen.length <= WORDS_MAX * 2 && left > free[node]) {
      const event = said.replaceAll("_", " ");
      pen.strokeStyle = colours.page;
      pen.lineWidth = 3;
      pen.textAlign = "left";
      pen.strokeText(event, left + 3, y - 12);
      words(pen, event, left + 3, y - 12, isLoss ? colours.wrong : colours.soft);
      free[node] = left + pen.measureText(said).width + 8;
    }
    drawn.hits.push({ left: left - 3, right: left + 3, top: y - 16, bottom: y - 6, said, node, time });
  }
  pen.font = "12px system-ui, sans-serif";
}

function paintOperations(pen) {
  const seen = run.operations.map((_, number) => number).filter((number) => {
    const it = run.operations[number];
    return isChosenOperation(it) && isInView(it.invoked, it.returned ?? run.endsAt);
  });
  drawn.operations = seen.length;
  if (seen.length <= WORDS_MAX) {
    for (const number of seen) {
      const it = run.operations[number];
      line(pen, x(it.invoked), clientY(it.client), x(it.invoked), nodeY(it.node), colours.rule, 1, [2, 3]);
    }
  }
  for (const number of seen) {
    const it = run.operations[number];
    const [left, y] = [x(it.invoked), clientY(it.client)];
    const right = Math.max(x(it.returned ?? run.endsAt), left + 3);
    const half = place.clientRow / 2 - 2;
    pen.fillStyle = colours[it.outcome];
    pen.globalAlpha = it.outcome === "failed" ? 0.5 : 1;
    pen.fillRect(left, y - half, right - left, 2 * half);
    pen.globalAlpha = 1;
    if (brokenByOperation.has(number)) {
      pen.strokeStyle = colours.wrong;
      pen.lineWidth = 2.5;
      pen.strokeRect(left - 2, y - half - 1, right - left + 4, 2 * half + 2);
    }
    wordsWithin(pen, asked(it), left, right, y + 0.5, colours[`on-${it.outcome}`]);
    const box = { left: left - 1, right: right + 1, top: y - half - 1, bottom: y + half + 1 };
    drawn.hits.push({ ...box, operation: number });
  }
}

function paintFaults(pen) {
  const ends = Array(place.faultRows).fill(-Infinity);
  run.faults.forEach((fault, number) => {
    const [left, right] = [x(fault.at), Math.max(x(fault.until), x(fault.at) + 3)];
    const text = `${fault.kind} ${fault.nodes.map(nodeName).join(" ")}`;
    const start = Math.max(left, GUTTER) + 5;
    const end = Math.max(right, start + pen.measureText(text).width);
    if (end < GUTTER || right < GUTTER || left > place.width) return;
    // Each in the first row that is free; where none is, there is room for a mark only.
    const free = ends.findIndex((each) => each < left);
    const row = free < 0 ? place.faultRows - 1 : free;
    const top = place.faultsTop + row * FAULT_ROW;
    if (free >= 0) {
      ends[row] = end + 4;
      pen.fillStyle = colours["wrong-faint"];
      pen.fillRect(left, top, right - left, FAULT_ROW - 2);
      words(pen, text, start, top + FAULT_ROW / 2, colours.wrong);
    }
    pen.fillStyle = colours.wrong;
    pen.fillRect(left, top, 2.5, FAULT_ROW - 2);
    drawn.faults += 1;
    const bottom = top + FAULT_ROW - 2;
    drawn.hits.push({ left, right: free < 0 ? left + 3 : end, top, bottom, fault: number });
  });
}

function paintBroken(pen) {
  for (const broken of run.broken) {
    if (!isInView(broken.at, broken.at)) continue;
    const left = x(broken.at);
    line(pen, left, AXIS, left, place.height, colours.wrong, 1.5);
    pen.font = "bold 12px system-ui, sans-serif";
    const width = pen.measureText(broken.promise).width + 10;
    const start = Math.min(left, place.width - width);
    pen.fillStyle = colours.wrong;
    pen.fillRect(start, AXIS - 16, width, 17);
    words(pen, broken.promise, start + 5, AXIS - 7, colours.page);
    pen.font = "12px system-ui, sans-serif";
  }
}
