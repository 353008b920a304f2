// What is under the pointer, and what it means; dragging, turning the wheel, and the keyboard.

const REACH = 7;

const tip = document.getElementById("tip");
let isPinned = false;

// --- What is there ---

/** Return what is at a point of the picture: a box that was drawn, a message, or a node's line. */
function whatIsAt(left, top) {
  const boxes = drawn.hits.filter((hit) =>
    hit.left - 2 <= left && left <= hit.right + 2 && hit.top <= top && top <= hit.bottom);
  if (boxes.length) return boxes[boxes.length - 1];
  if (left < GUTTER) return null;
  const message = messageAt(left, top);
  if (message !== null) return { message };
  const node = run.nodes.findIndex((_, each) => Math.abs(nodeY(each) - top) < place.room * 0.4);
  return node < 0 ? null : { node, time: timeAt(left) };
}

function messageAt(left, top) {
  let nearest = REACH;
  let found = null;
  for (let number = 0; number < chosen.length; number += 1) {
    if (!chosen[number]) continue;
    const sent = messages.sent[number];
    if (!isInView(sent, messages.arrived[number] ?? sent)) continue;
    const distance = distanceTo(endsOf(number), left, top);
    if (distance < nearest) [nearest, found] = [distance, number];
  }
  return found;
}

function distanceTo([x1, y1, x2, y2], left, top) {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const along = ((left - x1) * dx + (top - y1) * dy) / (dx * dx + dy * dy || 1);
  const share = Math.min(1, Math.max(0, along));
  return Math.hypot(left - x1 - share * dx, top - y1 - share * dy);
}

// --- What it means ---

function element(name, text = "", ...children) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...children);
  return made;
}

/** Return what is shown of sessions: a heading, and a row for each entry. */
function described(all) {
  return all.flatMap((number) => {
    const [session, note, entries] = run.shown[number];
    const id = session === NOTHING ? "a session" : run.sessions[session];
    const rows = entries.map((entry) => {
      const [key, value, stamp] = run.entries[entry].map((text) => run.texts[text]);
      const when = /^-?\d/.test(stamp) ? `@ ${stamp} s` : stamp;
      return element("tr", "", element("td", key), element("td", value), element("td", when));
    });
    return [element("h4", id), element("p", run.texts[note]), element("table", "", ...rows)];
  });
}

function describeMessage(number) {
  const [sent, arrived] = [messages.sent[number], messages.arrived[number]];
  const [sender, receiver] = [messages.sender[number], messages.receiver[number]].map(nodeName);
  const way = arrived === null
    ? `sent at ${seconds(sent, 4)}, and never arrived`
    : `${seconds(sent, 4)} to ${seconds(arrived, 4)}, ${((arrived - sent) * 1000).toFixed(1)} ms`;
  return [
    element("h3", `${run.kinds[messages.kind[number]]} ${sender} → ${receiver}`),
    element("p", way),
    element("p", run.texts[messages.says[number]]),
    ...described(messages.shown[number]),
  ];
}

/** Return in words what the client of an operation was told. */
function answerOf(it) {
  if (it.outcome === "unknown") return it.reason || "nothing";
  if (it.outcome === "failed") return it.reason;
  if (it.kind === "find") {
    if (!it.read) return "there is none";
    return it.read.map(([client, version]) => `${version} of ${client}`).join(", ") || "it is empty";
  }
  const held = it.holders.join(", ") || "nobody";
  const disk = it.onDisk.length ? `, on disk at ${it.onDisk.join(", ")}` : "";
  return `held by ${held}${disk}${it.outcome === "degraded" ? ", degraded" : ""}`;
}

function describeOperation(number) {
  const it = run.operations[number];
  const broken = brokenByOperation.get(number);
  const until = it.returned === null ? "no end" : seconds(it.returned, 4);
  const parts = [
    element("h3", `client ${it.client}: ${asked(it)}`),
    element("p", `asked of ${nodeName(it.node)}, ${seconds(it.invoked, 4)} to ${until}: ${it.outcome}`),
    element("p", run.sessions[it.session]),
    element("p", `told: ${answerOf(it)}`),
  ];
  if (it.newSession !== undefined) {
    parts.splice(3, 0, element("p", `goes on as ${run.sessions[it.newSession]}`));
  }
  if (broken !== undefined) {
    parts.push(element("h4", run.broken[broken].promise), element("p", run.broken[broken].story));
  }
  return parts;
}

function describeNode(node, time) {
  const state = at(run.states, time).find(([, , [where]]) => where === node);
  const acts = at(run.acting, time).filter(([, , where]) => where[1] === node)
    .map(([, , [home]]) => nodeName(home));
  const troubles = at(run.troubles, time).filter(([, , [where]]) => where === node)
    .map(([, , [, other], what]) => (other === undefined ? what : `${what} to ${nodeName(other)}`));
  const parts = [
    element("h3", `${nodeName(node)} at ${seconds(time)}: ${state ? state[3] : "not there"}`),
    element("p", `acts for ${acts.join(", ") || "nobody"}`),
    element("p", troubles.join(", ")),
  ];
  if (view.family === NOTHING) {
    parts.push(element("p", "Choose a session to see here what the node has of it."));
    return parts;
  }
  const kept = keptAt(view.family, node, time);
  return parts.concat(kept.length ? described(kept) : element("p", "has nothing of this session"));
}

function describeFault(number) {
  const fault = run.faults[number];
  const end = fault.stays ? "for ever" : `until ${seconds(fault.until)}`;
  return [
    element("h3", `${fault.kind} ${fault.nodes.map(nodeName).join(" ")}`),
    element("p", `${seconds(fault.at)} ${end}`),
    element("p", fault.says),
  ];
}

function describeBand(number) {
  const [since, until, [home, node]] = run.acting[number];
  return [
    element("h3", `${nodeName(node)} acts for ${nodeName(home)}`),
    element("p", `${seconds(since)} to ${seconds(until)}`),
  ];
}

function describe(what) {
  if (what.operation !== undefined) return describeOperation(what.operation);
  if (what.message !== undefined) return describeMessage(what.message);
  if (what.fault !== undefined) return describeFault(what.fault);
  if (what.band !== undefined) return describeBand(what.band);
  if (what.shown !== undefined) {
    const title = element("h3", `${nodeName(what.node)} from ${seconds(what.time, 4)} on`);
    const has = hasSomething(what.shown) ? described([what.shown]) : [element("p", "has nothing")];
    return [title, ...has];
  }
  if (what.said !== undefined) {
    return [element("h3", what.said), element("p", `${nodeName(what.node)} at ${seconds(what.time, 4)}`)];
  }
  return describeNode(what.node, what.time);
}

// --- Showing it ---

function showTip(what, left, top) {
  tip.replaceChildren(...describe(what));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(left + 16, innerWidth - width - 8))}px`;
  tip.style.top = `${Math.max(4, Math.min(top + 16, innerHeight - height - 8))}px`;
}

function hideTip() {
  tip.hidden = true;
  isPinned = false;
  tip.classList.remove("pinned");
}

function offsetIn(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function listenToPointer() {
  let drag = null;
  picture.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, since: view.since, until: view.until, moved: false };
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", (event) => {
    if (drag) {
      const share = (event.clientX - drag.x) / (place.width - GUTTER);
      drag.moved ||= Math.abs(event.clientX - drag.x) > 3;
      if (!drag.moved) return;
      const by = share * (drag.until - drag.since);
      hideTip();
      setWindow(drag.since - by, drag.until - by);
      render();
    } else if (!isPinned) {
      const what = whatIsAt(...offsetIn(picture, event));
      if (what) showTip(what, event.clientX, event.clientY);
      else hideTip();
    }
  });
  picture.addEventListener("pointerup", (event) => {
    const wasClick = drag && !drag.moved;
    drag = null;
    if (!wasClick) return;
    hideTip();
    const what = whatIsAt(...offsetIn(picture, event));
    if (what) {
      showTip(what, event.clientX, event.clientY);
      isPinned = true;
      tip.classList.add("pinned");
    }
  });
  picture.addEventListener("pointercancel", () => { drag = null; });
  picture.addEventListener("pointerleave", () => { if (!isPinned) hideTip(); });
  picture.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
      pan((event.deltaX || event.deltaY) / 600);
    } else {
      zoom(Math.exp(event.deltaY / 400), timeAt(offsetIn(picture, event)[0]));
    }
    hideTip();
    render();
  }, { passive: false });
  const look = (event) => {
    if (!event.buttons) return;
    const [left] = offsetIn(overview, event);
    const time = ((left - GUTTER) / (overview.clientWidth - GUTTER - 8)) * run.endsAt;
    const half = (view.until - view.since) / 2;
    setWindow(time - half, time + half);
    render();
  };
  overview.addEventListener("pointerdown", look);
  overview.addEventListener("pointermove", look);
}

const KEYS = {
  ArrowLeft: () => pan(-0.2),
  ArrowRight: () => pan(0.2),
  "+": () => zoom(0.6),
  "=": () => zoom(0.6),
  "-": () => zoom(1 / 0.6),
  0: lookAtEverything,
};

function listenToKeys() {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input")) return;
    if (event.key === "Escape") hideTip();
    if (!Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    hideTip();
    KEYS[event.key]();
    render();
  });
}
