"""A history of many pictures, and what the page does with it: scripts for the browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page, expect

_SEED = """async ({ count, side }) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const context = canvas.getContext("2d");
  const pictures = [];
  for (let number = 0; number < count; number += 1) {
    context.fillStyle = `hsl(${number * 37 % 360} 60% 60%)`;
    context.fillRect(0, 0, side, side);
    pictures.push(await new Promise((resolve) => canvas.toBlob(resolve)));
  }
  const opening = indexedDB.open("diffusion", 1);
  const database = await new Promise((resolve) => {
    opening.onsuccess = () => resolve(opening.result);
  });
  const writing = database.transaction(["records", "files"], "readwrite");
  pictures.forEach((blob, number) => {
    const key = `seeded${number}/0`;
    const colour = ["red", "blue", "green"][number % 3];
    writing.objectStore("files").put(blob, key);
    writing.objectStore("records").put({
      key, jobId: `seeded${number}`, number: 0, created: 1.79e12 + number * 1000,
      prompt: `picture ${number}: a ${colour} circle`,
      negativePrompt: number % 5 ? "" : "blurred", steps: 20, guidanceScale: 7.5,
      seed: 1000 + number, width: side, height: side, fingerprint: "stub-1", seconds: 1,
      tokens: 9, truncated: false, notes: [], thumbnail: blob, bytes: blob.size,
    });
  });
  await new Promise((resolve) => { writing.oncomplete = resolve; });
  database.close();
}"""
_SEARCH = """(words) => words.map((text) => {
  const field = document.getElementById("search");
  const start = performance.now();
  field.value = text;
  field.dispatchEvent(new Event("input"));
  document.body.getBoundingClientRect();
  return performance.now() - start;
})"""
_SCROLL = """() => new Promise((resolve) => {
  const end = document.documentElement.scrollHeight;
  const gaps = [];
  let last = performance.now();
  const step = (position) => {
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    scrollTo(0, position);
    position < end ? requestAnimationFrame(() => step(position + 60)) : resolve(gaps);
  };
  requestAnimationFrame(() => step(0));
})"""


@dataclass(frozen=True)
class Times:
    """Of several runs of the same, in milliseconds."""

    all: list[float]

    @property
    def median(self) -> float:
        return sorted(self.all)[len(self.all) // 2]

    @property
    def most(self) -> float:
        return max(self.all)


def seed_history(page: Page, count: int, side: int = 64) -> None:
    """Put pictures into the browser's storage, the last one newest, and open the page again."""
    expect(page.locator("#history-note")).not_to_be_empty()
    page.evaluate(_SEED, {"count": count, "side": side})
    page.reload()
    expect(page.locator("#pictures .thumb")).to_have_count(count)


def search_times(page: Page, words: list[str]) -> Times:
    """From a key to the changed layout, for each text in the search field."""
    return Times(page.evaluate(_SEARCH, words))


def frame_times(page: Page) -> Times:
    """Between frames, while the page scrolls from its start to its end."""
    return Times(page.evaluate(_SCROLL))


def prompts(page: Page) -> list[str]:
    """Of the pictures that the history shows."""
    return page.locator("#pictures li:not([hidden]) img").evaluate_all(
        "images => images.map((image) => image.alt)"
    )


def focused(page: Page) -> dict[str, Any]:
    """The element that has the focus: its id, its text and the picture in it."""
    return page.evaluate(
        """() => {
          const { id, textContent, firstElementChild } = document.activeElement;
          return { id, text: textContent.trim(), picture: firstElementChild?.alt ?? "" };
        }"""
    )
