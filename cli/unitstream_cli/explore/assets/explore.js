// What the browser does by itself: numbers in the reader's form, light and dark, and the file of the picture.
(function () {
  "use strict";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const parts = new Intl.NumberFormat().formatToParts(-123456789.5);
  const sign = (type, otherwise) => (parts.find((part) => part.type === type) || { value: otherwise }).value;
  const groups = parts.filter((part) => part.type === "integer").map((part) => part.value.length);
  const marks = { decimal: sign("decimal", "."), group: sign("group", ""), minus: sign("minusSign", "-") };

  // Digits stay as they are: only the marks between them are the reader's.
  function localized(text) {
    const found = /^(-?)([0-9]+)(?:\.([0-9]+))?( %)?$/.exec(text);
    if (!found) return text;
    const [, minus, whole, decimals, percent] = found;
    const sizes = groups.slice(1).reverse();
    const pieces = [];
    let rest = whole;
    for (let place = 0; rest.length > (sizes[place] || sizes[sizes.length - 1] || Infinity); place += 1) {
      const size = sizes[place] || sizes[sizes.length - 1];
      pieces.unshift(rest.slice(-size));
      rest = rest.slice(0, -size);
    }
    const integer = marks.group ? [rest, ...pieces].join(marks.group) : whole;
    return (minus && marks.minus) + integer + (decimals ? marks.decimal + decimals : "") + (percent || "");
  }

  function localizeAll() {
    for (const cell of document.querySelectorAll("[data-number]")) {
      const text = localized(cell.dataset.shown);
      if (cell.textContent !== text) cell.textContent = text;
    }
  }

  // Dash's dropdowns leave out their label, and take the focus with a hidden field.
  function nameDropdowns() {
    for (const button of document.querySelectorAll("button.dash-dropdown[id]")) {
      const names = `${button.id}-label ${button.id}-value`;
      if (button.getAttribute("aria-labelledby") !== names) button.setAttribute("aria-labelledby", names);
      const hidden = button.parentElement.querySelector(".dash-dropdown-focus-target");
      if (hidden && hidden.tabIndex !== -1) hidden.tabIndex = -1;
      if (button.tabIndex !== 0) button.tabIndex = 0;
      const list = document.getElementById(button.getAttribute("aria-controls"));
      if (list) nameList(list, `${button.id}-label`);
    }
  }

  // An open one has fields to tick, which Dash calls options as well: a field in an option is two things at one place.
  function nameList(list, label) {
    const options = list.querySelector(".dash-dropdown-options");
    for (const part of [list, options]) {
      if (part && part.getAttribute("aria-labelledby") !== label) part.setAttribute("aria-labelledby", label);
    }
    if (options && options.getAttribute("role") !== "group") options.setAttribute("role", "group");
    for (const option of list.querySelectorAll("[role=option], [aria-selected]")) {
      option.removeAttribute("role");
      option.removeAttribute("aria-selected");
    }
  }

  // Dash moves the cursor after each key, which a field for a day does not have: its error would be on the console.
  function mendDays() {
    for (const field of document.querySelectorAll('input[type="date"]')) field.setSelectionRange = () => {};
  }

  // A progress bar of which nobody knows the end says at least for how long it has been there.
  let since = null;
  function tellWaiting() {
    const bar = document.getElementById("progress");
    since = bar && !bar.hidden ? since || Date.now() : null;
    const waited = since ? Math.floor((Date.now() - since) / 1000) : 0;
    const advice = waited < 10 ? "" : ". Fewer days, longer periods or fewer groups are quicker.";
    const text = waited ? `Reading, ${waited} s${advice}` : "";
    const place = document.getElementById("elapsed");
    if (place && place.textContent !== text) place.textContent = text;
  }
  window.setInterval(tellWaiting, 200);

  function theme() {
    const [ink, paper, line] = dark.matches ? ["#e8e8e8", "#16181c", "#3a3d44"] : ["#1c1c1c", "#ffffff", "#d9d9d9"];
    return {
      "font.color": ink, "paper_bgcolor": paper, "plot_bgcolor": paper, "xaxis.gridcolor": line, "yaxis.gridcolor": line,
      "xaxis.linecolor": line, "yaxis.zerolinecolor": line, "hoverlabel.bgcolor": paper, "hoverlabel.font.color": ink,
      "separators": marks.decimal + (marks.group || " "),
    };
  }

  // Returns the figure in the reader's colours and marks.
  function dressed(figure) {
    const layout = JSON.parse(JSON.stringify(figure.layout || {}));
    for (const [path, value] of Object.entries(theme())) {
      const names = path.split(".");
      const last = names.pop();
      let place = layout;
      for (const name of names) place = place[name] = place[name] || {};
      place[last] = value;
    }
    const coloured = (trace) => (trace.line && !trace.line.color ? { ...trace, line: { ...trace.line, color: layout.font.color } } : trace);
    return { data: (figure.data || []).map(coloured), layout };
  }

  const picture = () => document.querySelector("#picture .js-plotly-plot") || document.querySelector("#picture.js-plotly-plot");
  dark.addEventListener("change", () => picture() && window.Plotly.relayout(picture(), theme()));

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    explore: {
      dress: (figure) => (figure ? dressed(figure) : window.dash_clientside.no_update),
      png: (clicks, noted) => {
        const shown = picture();
        if (clicks && shown && noted) {
          const title = { text: noted.heading.join("<br>"), font: { size: 13 }, x: 0.01, xanchor: "left", y: 0.97, yanchor: "top" };
          const margin = { ...shown.layout.margin, t: 32 + 18 * noted.heading.length };
          const layout = { ...shown.layout, title, margin, autosize: false };
          const form = { format: "png", width: 1200, height: 600, filename: noted.name.replace(/\.png$/, "") };
          window.Plotly.downloadImage({ data: shown.data, layout }, form);
        }
        return window.dash_clientside.no_update;
      },
    },
  });

  // Sorting or turning a page of the table keeps the place: Dash's links go to the top.
  document.addEventListener("click", (event) => {
    if (event.target.closest && event.target.closest("#table a")) {
      const top = window.scrollY;
      window.requestAnimationFrame(() => window.scrollTo(0, top));
    }
  }, true);

  const drawn = document.querySelector("script#drawn");
  if (drawn) {
    const { data, layout } = dressed(JSON.parse(drawn.textContent));
    window.Plotly.newPlot("picture", data, layout, { displayModeBar: false, responsive: true });
  }
  localizeAll();
  let waits = false;
  new MutationObserver(() => {
    if (waits) return;
    waits = true;
    window.requestAnimationFrame(() => { waits = false; localizeAll(); nameDropdowns(); mendDays(); });
  }).observe(document.documentElement, { childList: true, characterData: true, subtree: true, attributeFilter: ["aria-selected"] });
})();
