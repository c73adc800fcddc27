"""What a page showed over time, collected while it did: scripts to run before the page's own."""

from __future__ import annotations

from playwright.sync_api import Page

COLLECT_TITLES = """
window.seenTitles = [];
setInterval(() => {
  if (window.seenTitles.at(-1) !== document.title) {
    window.seenTitles.push(document.title);
  }
}, 20);
"""
COLLECT_ANNOUNCEMENTS = """
window.announced = [];
setInterval(() => {
  const text = document.getElementById("live")?.textContent ?? "";
  if (text && window.announced.at(-1) !== text) {
    window.announced.push(text);
  }
}, 20);
"""
COLLECT_PREVIEWS = """
window.seenPreviews = new Set();
setInterval(() => {
  for (const image of document.querySelectorAll("#jobs .preview img, #jobs img.preview")) {
    if (image.complete && image.naturalWidth > 0) {
      const canvas = document.createElement("canvas");
      canvas.width = image.naturalWidth;
      canvas.height = image.naturalHeight;
      canvas.getContext("2d").drawImage(image, 0, 0);
      window.seenPreviews.add(canvas.toDataURL());
    }
  }
}, 20);
"""


def titles(page: Page) -> list[str]:
    return page.evaluate("window.seenTitles")


def announcements(page: Page) -> list[str]:
    return page.evaluate("window.announced")


def previews(page: Page) -> list[str]:
    """Each other picture that was shown as a preview."""
    return page.evaluate("[...window.seenPreviews]")
