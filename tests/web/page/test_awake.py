"""The button that keeps the screen on, run in Node over a browser of a few lines."""

from typing import Any

from node import node

BROWSER = """
    const button = {hidden: true, pressed: null, getAttribute() { return this.pressed; },
      setAttribute(_, value) { this.pressed = String(value); }, addEventListener(_, press) { this.press = press; }};
    const locks = [], waiting = [];
    const request = () => new Promise((give, refuse) => waiting.push({refuse, give: () => {
      const lock = {held: true, release() { lock.held = false; }};
      locks.push(lock);
      give(lock);
    }}));
    const settle = () => new Promise((done) => setTimeout(done));
    const held = () => locks.filter((lock) => lock.held).length;
    const page = {hidden: false, addEventListener(_, change) { page.change = change; }};
    globalThis.document = page;
    const browser = (able) =>
      Object.defineProperty(globalThis, 'navigator', {value: able ? {wakeLock: {request}} : {}, configurable: true});
"""


def run(steps: str) -> Any:
    """Run steps over the browser, and return what they return."""
    return node("awake.js", f"await (async () => {{ {BROWSER} {steps} }})()")


def test_a_browser_without_wake_locks_shows_no_button() -> None:
    """Where the browser cannot keep the screen on, the button stays hidden and takes no clicks."""
    assert run("browser(false); it.keepAwake(button); return [button.hidden, button.pressed];") == [
        True,
        None,
    ]


def test_a_press_holds_the_screen_and_another_releases_it() -> None:
    """The button is shown unpressed; pressed, one lock is held; pressed again, none is."""
    assert run("""
        browser(true);
        it.keepAwake(button);
        const seen = [[button.hidden, button.pressed, held()]];
        button.press(); waiting.shift().give(); await settle();
        seen.push([button.pressed, held()]);
        button.press(); await settle();
        return [...seen, [button.pressed, held()]];
    """) == [[False, "false", 0], ["true", 1], ["false", 0]]


def test_a_refused_lock_releases_the_button() -> None:
    """A phone that saves its battery refuses the lock, and the button says that the screen is not kept on."""
    assert (
        run("""
        browser(true);
        it.keepAwake(button);
        button.press(); waiting.shift().refuse(new Error('low battery')); await settle();
        return button.pressed;
    """)
        == "false"
    )


def test_quick_presses_leave_no_lock_behind() -> None:
    """
    However fast the button is pressed while locks are on their way, releasing it releases every lock that was
    given.

    Pressed on, off and on before the first lock came, two came, and the earlier one was never released: the
    screen stayed on.
    """
    assert run("""
        browser(true);
        it.keepAwake(button);
        for (let presses = 0; presses < 3; presses++) button.press();
        while (waiting.length) waiting.shift().give();
        await settle();
        const on = held();
        button.press(); await settle();
        return [on, held()];
    """) == [1, 0]


def test_a_page_that_is_shown_again_takes_the_lock_again() -> None:
    """
    The browser takes the lock of a hidden page; shown again, the page asks for it, but only while the button
    is pressed.
    """
    assert run("""
        browser(true);
        it.keepAwake(button);
        page.change();
        const unpressed = waiting.length;
        button.press(); waiting.shift().give(); await settle();
        page.hidden = true; locks[0].release(); page.change();
        const hidden = waiting.length;
        page.hidden = false; page.change();
        return [unpressed, hidden, waiting.length];
    """) == [0, 0, 1]
