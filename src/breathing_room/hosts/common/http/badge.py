"""A badge: the label of a presence as a small SVG for any page."""

from xml.sax.saxutils import escape

from breathing_room.core.presence import Presence

# Verdana 11 is about 6.6 px a character; the text is stretched to fit, so that no font breaks the box.
CHARACTER_PX = 6.6
PADDING_PX = 8


def badge(presence: Presence) -> str:
    """Draw a badge as SVG.

    Args:
        presence: The presence whose label is shown, grayed when it is not live.
    """
    left, right = "here now", presence.label
    left_px, right_px = (round(len(text) * CHARACTER_PX) + 2 * PADDING_PX for text in (left, right))
    width_px = left_px + right_px
    color = "#0f766e" if presence.method in {"counted", "sampled"} else "#6b7280"
    title = escape(f"{left}: {right} ({presence.method})")

    def text(words: str, x_px: float, length_px: int) -> str:
        return f'<text x="{x_px}" y="14" textLength="{length_px - 2 * PADDING_PX}">{escape(words)}</text>'

    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_px}" height="20" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<clipPath id="r"><rect width="{width_px}" height="20" rx="4"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left_px}" height="20" fill="#1f2937"/>'
        f'<rect x="{left_px}" width="{right_px}" height="20" fill="{color}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{text(left, left_px / 2, left_px)}{text(right, left_px + right_px / 2, right_px)}</g></svg>"
    )
