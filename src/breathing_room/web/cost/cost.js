// The sliders of the cost page. Nothing is computed here: `breathing-room cost --web` computes, and its
// response is shown.

const VISITS_S = [60, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 14400];
const ERRORS = [1, 1.5, 2.5, 4, 5, 6, 8.2, 10, 15];
const DEBOUNCE_MS = 120;

const $ = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");

// A slider has 8 steps a decade, from 10 to 10 million; two digits are enough.
const people = () => Number((10 ** (1 + $("people").valueAsNumber / 8)).toPrecision(2));
const visitS = () => VISITS_S[$("visit").valueAsNumber];
const error = () => ERRORS[$("error").valueAsNumber];

const sums = { USD: "$", EUR: "€" };
const sum = (amount, currency) => sums[currency] + amount.replace(/\B(?=(\d{3})+\.)/g, ",");
const length = (s) => (s < 3600 ? `${s / 60} min` : `${s / 3600} h`);

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function showValues() {
  const values = { people: whole.format(people()), visit: length(visitS()), error: `${error()} %` };
  for (const [id, text] of Object.entries(values)) {
    $(`${id}-value`).textContent = text;
    $(id).setAttribute("aria-valuetext", text);
  }
}

function billElement(bill) {
  const details = element("details");
  details.dataset.strategy = bill.strategy;
  const summary = element("summary");
  const total = sum(bill.total, bill.currency) + (bill.grade === "V" ? "" : ` (${bill.grade})`);
  summary.append(element("span", bill.strategy), element("span", total, "total"));
  const broken = bill.limits.filter((limit) => limit.broken).map((limit) => limit.title);
  summary.append(element("span", bill.accuracy.words, "words"));
  if (broken.length) summary.append(element("span", `breaks: ${broken.join(", ")}`, "words worry"));
  const table = element("table");
  const rows = [
    [`${bill.plan} plan`, "", sum(bill.base, bill.currency)],
    ...bill.items.map((item) => [item.title, `${whole.format(item.used)} ${item.unit}`, sum(item.charge, bill.currency), item]),
  ];
  for (const [title, used, charge, item] of rows) {
    const row = table.insertRow();
    const cell = row.insertCell();
    if (item) {
      const link = element("a", title);
      link.href = item.source;
      link.title = `checked ${item.checked}, ${item.grade}`;
      link.rel = "noreferrer";
      cell.append(link);
    } else cell.textContent = title;
    row.insertCell().textContent = used;
    row.insertCell().textContent = charge;
  }
  details.append(summary, element("p", `${bill.reports}; ${bill.writes}; ${bill.reads}`, "quiet"), table);
  return details;
}

function show(answer) {
  const best = answer.bills.find((bill) => bill.strategy === answer.recommended);
  $("best-name").textContent = best ? `${best.strategy}, the cheapest that is accurate enough` : "no strategy is accurate enough within its limits";
  $("best-total").textContent = best ? `${sum(best.total, best.currency)} a month` : "";
  $("best-words").textContent = best ? `${best.accuracy.words}; ${best.reports}` : "";
  const open = new Set([...document.querySelectorAll("details[open]")].map((details) => details.dataset.strategy));
  $("bills").replaceChildren(...answer.bills.map(billElement));
  for (const details of document.querySelectorAll("details")) details.open = open.has(details.dataset.strategy);
  $("rests").replaceChildren(
    ...(best ? best.unverified.map((text) => element("li", `unverified: ${text}`, "worry")) : []),
    ...answer.notes.map((text) => element("li", text)),
  );
}

let requests = 0;

async function update() {
  const number = ++requests;
  const query = new URLSearchParams({ people: people(), visit_s: visitS(), error: error() });
  try {
    const response = await fetch(`cost.json?${query}`);
    const answer = await response.json();
    if (number !== requests) return;
    if (!response.ok) throw new Error(answer.error.message);
    show(answer);
    $("plot").src = `cost.svg?${query}`;
    $("trouble").textContent = "";
  } catch (trouble) {
    if (number === requests) $("trouble").textContent = `the command did not answer: ${trouble.message}`;
  }
}

let timer;
$("crowd").addEventListener("input", () => {
  showValues();
  clearTimeout(timer);
  timer = setTimeout(update, DEBOUNCE_MS);
});
$("crowd").addEventListener("submit", (event) => event.preventDefault());
showValues();
update();
