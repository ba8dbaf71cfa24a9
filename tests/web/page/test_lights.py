"""The painter of the sky, run in Node over canvases that count what is painted on them, and a timer that a
test runs down.
"""

from typing import Any

from node import node

STAGE = """
    let nowMs = 0, timers = [], side = null;
    globalThis.performance = {now: () => nowMs};
    globalThis.devicePixelRatio = 3;
    globalThis.setTimeout = (run, delay) => { timers.push({run, delay}); return timers.length; };
    globalThis.clearTimeout = () => { timers = []; };
    const step = () => { const [timer] = timers.splice(0, 1); nowMs += timer.delay; timer.run(); };
    const canvas = () => ({width: 0, painted: 0, cleared: 0, animations: [],
      getContext() { return {clearRect: () => this.cleared++, drawImage: () => this.painted++, fillRect() {},
        createRadialGradient: () => ({addColorStop() {}})}; },
      animate() { const animation = {startTime: null, runs: true, cancel() { this.runs = false; }, effect: {getTiming: () => ({duration: 1000})}};
        this.animations.push(animation); return animation; }});
    const made = [];
    globalThis.document = {hidden: false, createElement: () => { const one = canvas(); made.push(one); return one; }};
    let fit;
    globalThis.ResizeObserver = class { constructor(run) { fit = run; } observe() { fit(); } };
    const sky = {clientWidth: 100, canvases: [], append(...canvases) { this.canvases = canvases; }};
    const lights = new it.Lights(sky, () => '#abcdef');
    const sum = (key) => sky.canvases.reduce((all, one) => all + one[key], 0);
    const playing = () => sky.canvases.flatMap(({animations}) => animations).filter(({runs}) => runs).length;
    const paintAll = () => { let steps = 0; while (timers.length && steps < 100) { step(); steps++; } return steps; };
"""


def run(steps: str) -> Any:
    return node("lights.js", f"await (async () => {{ {STAGE} {steps} }})()")


def test_it_paints_only_while_a_light_appears_or_vanishes() -> None:
    """
    A crowd fades in within 2.5 s, each of its lights once in every step, and then no timer is left and
    nothing is painted.
    """
    steps, lasted, painted, waiting, again = run("""
        lights.show({calm: 3, glad: 2});
        const before = sum('painted'), steps = paintAll(), painted = sum('painted') - before, lasted = nowMs;
        lights.show({calm: 3, glad: 2});
        paintAll();
        return [steps, lasted, painted, timers.length, sum('painted') - before - painted];
    """)
    assert (lasted, steps, painted) == (2_600, 26, 25 * 5)
    assert (waiting, again) == (0, 0)


def test_at_rest_nothing_moves_and_nothing_is_due() -> None:
    """A page that is not looked at has no animation and no timer, and one that is hidden sets none."""
    assert run("""
        lights.show({calm: 1}); lights.syncTo(0, {still: false});
        const seen = [timers.length, playing()];
        lights.pause();
        seen.push(timers.length, playing());
        document.hidden = true;
        lights.show({calm: 2});
        return [...seen, timers.length];
    """) == [1, 6, 0, 0, 0]


def test_without_motion_the_sky_glimmers_and_does_not_turn() -> None:
    """A visitor who asked for less motion sees each layer glimmer; otherwise each turns as well."""
    assert run("""
        lights.syncTo(0, {still: true}); const still = playing();
        lights.syncTo(0, {still: false}); return [still, playing()];
    """) == [3, 6]


def test_a_canvas_is_no_finer_than_lights_need() -> None:
    """
    Canvases follow the size of the sky, at one and a half pixels at most, and a size that is the same paints
    nothing again.
    """
    assert run("""
        const width = sky.canvases.map(({width}) => width), before = sum('cleared');
        fit(); const same = sum('cleared') - before;
        sky.clientWidth = 200; fit();
        return [width, same, sky.canvases.map(({width}) => width), sum('cleared') - before];
    """) == [[150] * 3, 0, [300] * 3, 3]


def test_a_mood_is_drawn_once_and_again_in_a_new_color() -> None:
    """However many lights a mood has, its picture is made once, and once more after the colors changed."""
    assert run("""
        const canvases = made.length;
        lights.show({calm: 40, glad: 1}); paintAll();
        const first = made.length - canvases;
        lights.recolor();
        return [first, made.length - canvases];
    """) == [2, 4]
