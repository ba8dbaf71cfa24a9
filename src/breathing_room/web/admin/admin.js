/**
 * Refreshes the operator's page while it is visible. Without this script the page is as old as its last
 * reload.
 */

const EVERY_MS = 10_000;

/**
 * Replace the sections by those of a fresh page; open tables stay open, and a section with the focus is left
 * as it is.
 */
function show(fresh) {
  document.title = fresh.title;
  for (const next of fresh.querySelectorAll('main > section, .cards > section, footer')) {
    const now = document.getElementById(next.id);
    if (!now || now.contains(document.activeElement)) continue;
    for (const {id} of now.querySelectorAll('details[open]')) next.querySelector(`#${id}`).open = true;
    now.replaceWith(next);
  }
}

/** Fetch the page again, unless it is hidden. */
async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, {headers: {Accept: 'text/html'}, cache: 'no-store'});
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(answer.statusText);
    show(new DOMParser().parseFromString(await answer.text(), 'text/html'));
  } catch {
    document.getElementById('fresh').textContent = 'It does not answer now: this is what it said last.';
  }
}

setInterval(refresh, EVERY_MS);
document.addEventListener('visibilitychange', refresh);
