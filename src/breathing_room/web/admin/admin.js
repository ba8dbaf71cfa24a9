/** Keeps the operator's page fresh while somebody looks at it. Without this it is as true, and as old as its last reload. */

const EVERY_MS = 10_000;

/** Put what the server says now in place of what is shown; unfolded tables stay so, and where the focus is nothing moves. */
function show(fresh) {
  document.title = fresh.title;
  for (const next of fresh.querySelectorAll('main > section, .cards > section, footer')) {
    const now = document.getElementById(next.id);
    if (!now || now.contains(document.activeElement)) continue;
    for (const {id} of now.querySelectorAll('details[open]')) next.querySelector(`#${id}`).open = true;
    now.replaceWith(next);
  }
}

/** Ask, unless nobody looks. */
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
