// What a screen reader says by itself: little, and one thing after the other.

const ANNOUNCE_PAUSE_MS = 1000;

let announcedAt = 0;
let announceTimer = 0;
let announcements = [];

/**
 * @param {string} text said politely; while one is being said the next ones wait, without repeats
 */
export function announce(text) {
  if (text && !announcements.includes(text)) {
    announcements.push(text);
    announceTimer ||= setTimeout(announceNext, announcedAt + ANNOUNCE_PAUSE_MS - Date.now());
  }
}

function announceNext() {
  const texts = announcements;
  announcements = [];
  announceTimer = 0;
  announcedAt = Date.now();
  document.getElementById("live").textContent = texts.join(". ");
}
