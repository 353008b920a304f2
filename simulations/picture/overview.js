// The whole run, small: how much is said when, and which part of it is looked at.

const overviewX = (time, width) => GUTTER + (time / run.endsAt) * (width - GUTTER - 8);

function paintOverview() {
  const width = overview.clientWidth;
  const height = 46;
  const pen = prepared(overview, width, height);
  pen.fillStyle = colours.panel;
  pen.fillRect(GUTTER, 0, width - GUTTER - 8, height);
  const counts = new Uint32Array(Math.ceil(width) + 1);
  messages.sent.forEach((time, number) => {
    if (chosen[number]) counts[Math.round(overviewX(time, width))] += 1;
  });
  const most = Math.max(1, ...counts);
  pen.fillStyle = colours.changes;
  counts.forEach((count, left) => {
    const high = (height - 14) * (count / most);
    if (count) pen.fillRect(left, height - 2 - high, 1, high);
  });
  for (const fault of run.faults) {
    pen.fillStyle = colours.wrong;
    pen.fillRect(overviewX(fault.at, width), 0, 1.5, 6);
  }
  for (const broken of run.broken) {
    line(pen, overviewX(broken.at, width), 0, overviewX(broken.at, width), height, colours.wrong, 2);
  }
  words(pen, "whole run", GUTTER - 8, height / 2, colours.soft, "right");
  const [left, right] = [overviewX(view.since, width), overviewX(view.until, width)];
  pen.fillStyle = colours.ink;
  pen.globalAlpha = 0.13;
  pen.fillRect(left, 0, Math.max(2, right - left), height);
  pen.globalAlpha = 1;
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1.5;
  pen.strokeRect(left, 1, Math.max(2, right - left), height - 2);
}
