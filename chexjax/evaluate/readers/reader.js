// What a reader's page does in the browser: it shows one case at a time, keeps answers and reading
// time as they come, and hands them out as CSV. reader_page.py writes the page; each case is a
// form, and the names of its fields are the columns of the CSV.
"use strict";
(() => {
  const study = document.getElementById("forms");
  const { page, required } = study.dataset;
  const columns = study.dataset.columns.split(" ");
  const forms = [...study.querySelectorAll("form")];
  const reader = document.getElementById("reader");
  const position = document.getElementById("position");
  const notice = document.getElementById("notice");
  const LONGEST = 5; // seconds that one look at the clock may add: a machine that slept read nothing

  let answers = {}; // case -> { values, seconds, edits, answered }
  let current = null; // the form that is shown
  let since = null; // when the clock was last looked at, null while it stands
  let kept = true; // whether the browser stores answers

  const place = (name) => `chexjax ${page} ${name}`;

  function stored(name) {
    try {
      return localStorage.getItem(place(name));
    } catch {
      return null;
    }
  }

  function store(name, text) {
    try {
      localStorage.setItem(place(name), text);
      kept = true;
    } catch {
      kept = false;
    }
    notice.hidden = kept;
  }

  const entry = (form) =>
    (answers[form.dataset.case] ??= { values: {}, seconds: 0, edits: 0, answered: "" });

  const done = (form) => Boolean(entry(form).values[required]);

  const locked = (form) => "lock" in form.dataset && done(form);

  function restore(form) {
    const drafted = (form.dataset.drafted ?? "").split(" ").includes(reader.value);
    const { values } = entry(form);
    for (const field of form.elements) {
      const value = values[field.name];
      if (field.type === "radio" || field.type === "checkbox") {
        field.checked = (value ?? "").split(";").includes(field.value);
      } else if (field.name) {
        field.value = value ?? (drafted ? (field.dataset.draft ?? "") : "");
      }
    }
    for (const part of form.querySelectorAll("[data-when]")) {
      part.hidden = (part.dataset.when === "draft") !== drafted;
    }
    settle(form);
  }

  function settle(form) {
    for (const area of form.querySelectorAll("textarea")) area.readOnly = locked(form);
    const count = forms.filter(done).length;
    position.textContent =
      `Case ${forms.indexOf(current ?? form) + 1} of ${forms.length} \u00b7 ${count} answered`;
  }

  function tick() {
    const now = performance.now();
    if (since !== null) {
      entry(current).seconds += Math.min((now - since) / 1000, LONGEST);
      store(reader.value, JSON.stringify(answers));
    }
    const seen = document.visibilityState === "visible" && document.hasFocus();
    since = current && seen && !locked(current) ? now : null;
  }

  function show(form) {
    tick();
    current = form;
    since = null;
    for (const other of forms) other.hidden = other !== form;
    settle(form);
    tick();
    study.scrollIntoView();
  }

  function begin(name) {
    tick();
    current = null;
    since = null;
    reader.value = name;
    study.hidden = !reader.value;
    if (study.hidden) return;
    answers = JSON.parse(stored(reader.value) ?? "{}");
    forms.forEach(restore);
    store("", reader.value);
    show(forms.find((form) => !done(form)) ?? forms[0]);
  }

  function step(by) {
    const next = forms[forms.indexOf(current) + by];
    if (next) show(next);
  }

  function changed(event) {
    const form = event.target.form;
    tick(); // what was read before a form is locked still counts
    const found = entry(form);
    const data = new FormData(form);
    found.values = Object.fromEntries(columns.map((name) => [name, data.getAll(name).join(";")]));
    if (event.target.type === "textarea") found.edits += 1;
    found.answered = done(form) ? new Date().toISOString() : "";
    store(reader.value, JSON.stringify(answers));
    settle(form);
    tick();
  }

  function table() {
    const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`;
    const rows = forms.filter(done).map((form) => {
      const { values, seconds, edits, answered } = entry(form);
      const own = columns.map((name) => values[name]);
      return [page, reader.value, form.dataset.case, ...own, seconds.toFixed(1), edits, answered];
    });
    const header = ["page", "reader", "case", ...columns, "seconds", "edits", "answered"];
    return [header, ...rows].map((row) => row.map(quoted).join(",") + "\r\n").join("");
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    link.download = `answers-${page}-${reader.value.replaceAll(/\W+/g, "_")}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  function pressed(event) {
    const writes = event.target.matches("textarea, select, input[type=text]");
    if (writes || event.ctrlKey || event.metaKey || event.altKey || !current) return;
    const key = event.key.toLowerCase();
    if (key === "n") step(1);
    else if (key === "p") step(-1);
    else if (/^[a-z]$/.test(key)) current.querySelector(`[data-key="${key}"]`)?.click();
  }

  reader.addEventListener("change", () => begin(reader.value.trim()));
  study.addEventListener("input", changed);
  study.addEventListener("submit", (event) => event.preventDefault());
  study.addEventListener("click", ({ target }) => {
    if (target.matches(".films img")) target.classList.toggle("large");
  });
  document.addEventListener("keydown", pressed);
  document.getElementById("next").addEventListener("click", () => step(1));
  document.getElementById("previous").addEventListener("click", () => step(-1));
  document.getElementById("save").addEventListener("click", save);
  document.addEventListener("visibilitychange", tick);
  for (const name of ["focus", "blur", "pagehide"]) window.addEventListener(name, tick);
  window.addEventListener("beforeunload", (event) => {
    if (!kept) event.preventDefault();
  });
  setInterval(tick, 1000);
  begin(stored("") ?? "");
})();
