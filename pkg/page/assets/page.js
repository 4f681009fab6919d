"use strict";
(() => {
  const silence = 15000; // the server says something every 5 s
  const lost = document.getElementById("lost");
  const said = document.getElementById("said");
  const waiting = new Map(); // sections that cannot be replaced at this moment
  const shown = new Map(); // what each section was replaced with
  let heard = Date.now();
  let level = "";

  // replace shows the new form of a section. What is selected in it stays, and the element
  // that has the focus keeps it.
  function replace(id, html) {
    const section = document.getElementById(id);
    if (!section || shown.get(id) === html) return true;
    const selection = getSelection();
    if (!selection.isCollapsed && section.contains(selection.anchorNode)) return false;
    const active = section.contains(document.activeElement) ? document.activeElement : null;
    const scrolled = active && active.scrollLeft;
    section.innerHTML = html;
    shown.set(id, html);
    const again = active && active.id && document.getElementById(active.id);
    if (again) {
      again.focus({preventScroll: true});
      again.scrollLeft = scrolled;
    }
    return true;
  }

  // name puts the level into the title, and has a screen reader say when it changes.
  function name() {
    const answer = document.querySelector("[data-level]");
    if (!answer) return;
    document.title = answer.dataset.level + " – ampipe";
    if (level && level !== answer.dataset.level) said.textContent = answer.textContent;
    level = answer.dataset.level;
  }

  function show(isLost) {
    if (lost.hidden !== isLost) return;
    document.getElementById("heard").textContent = new Date(heard).toLocaleTimeString();
    lost.hidden = !isLost;
    document.body.classList.toggle("stale", isLost);
  }

  const plots = new Map();
  const colours = ["--read", "--held", "--degraded", "--lost", "--dim"];

  // lastMinutes returns lines with a time axis of five minutes at least.
  function lastMinutes(data) {
    const times = data[0], from = times[times.length - 1] - 300;
    return times[0] <= from ? data : [[from, ...times], ...data.slice(1).map((line) => [null, ...line])];
  }

  // draw draws lines over the time, in place of those that were there.
  function draw(box, key, caption, lines, measured) {
    const data = lastMinutes(measured);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const form = lines.join("\n") + box.clientWidth + colour("--text");
    const known = plots.get(key);
    if (known && known.form === form && known.figure.isConnected) {
      known.plot.setData(data);
      return;
    }
    if (known) {
      known.plot.destroy();
      known.figure.remove();
    }
    const figure = document.createElement("figure");
    const title = document.createElement("figcaption");
    title.textContent = caption;
    figure.append(title);
    box.append(figure);
    const axis = {stroke: colour("--dim"), grid: {stroke: colour("--line"), width: 1}, ticks: {stroke: colour("--line"), width: 1}};
    const plot = new uPlot({
      width: figure.clientWidth, height: 170,
      scales: {y: {range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1]}},
      axes: [axis, {...axis, size: 60}],
      series: [{}, ...lines.map((line, i) => ({label: line, stroke: colour(colours[(i + (caption.startsWith("Seconds") ? 1 : 0)) % colours.length]), width: 1.5}))],
    }, data, figure);
    plots.set(key, {plot, figure, form});
  }

  let charts = [];
  function drawAll() {
    for (const chart of charts) {
      const box = [...document.querySelectorAll("[data-pipeline]")].find((b) => b.dataset.pipeline === chart.pipeline);
      if (!box || chart.lines.length < 2) continue;
      draw(box, chart.pipeline + " rates", "Rows a second", chart.lines, chart.rates);
      draw(box, chart.pipeline + " lags", "Seconds behind", chart.lines.slice(1), chart.lags);
    }
  }

  const source = new EventSource("events"); // it connects again by itself
  source.onerror = () => show(true);
  source.onmessage = (message) => {
    heard = Date.now();
    show(false);
    const news = JSON.parse(message.data);
    if (!news.version) return;
    if (news.version !== document.body.dataset.version) {
      location.reload();
      return;
    }
    for (const section of news.sections || []) waiting.set(section.id, section.html);
    for (const [id, html] of waiting) if (replace(id, html)) waiting.delete(id);
    name();
    if (news.charts) {
      charts = news.charts;
      drawAll();
    }
  };
  setInterval(() => show(Date.now() - heard > silence), 1000);
  addEventListener("resize", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  name();
})();
