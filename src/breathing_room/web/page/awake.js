/** Keeps the screen on while the visitor wants it and the page is visible. */

/** Make a button switch it. Where the browser does not support it, the button stays hidden. */
export function keepAwake(button) {
  if (!navigator.wakeLock) return;
  let lock = null;
  const wanted = () => button.getAttribute('aria-pressed') === 'true';
  const press = (pressed) => button.setAttribute('aria-pressed', pressed);
  const hold = async () => {
    try {
      const given = await navigator.wakeLock.request('screen');
      lock?.release(); // one that was asked for before, by a quick finger or before the page was hidden
      lock = given;
      if (!wanted()) lock.release();
    } catch {
      press(false); // refused, as by a phone that saves its battery
    }
  };
  press(false);
  button.hidden = false;
  button.addEventListener('click', () => {
    press(!wanted());
    if (wanted()) hold();
    else lock?.release();
  });
  // The browser takes the lock back when the page is hidden.
  document.addEventListener('visibilitychange', () => document.hidden || !wanted() || hold());
}
