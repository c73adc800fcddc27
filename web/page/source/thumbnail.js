// Small pictures for the history's list.

const THUMBNAIL_PIXELS = 320;
const THUMBNAIL_QUALITY = 0.85;

/**
 * @param {Blob} blob
 * @param {number} width of the picture
 * @param {number} height
 * @returns {Promise<Blob>} the picture itself if it is small, or cannot be made smaller
 */
export async function makeThumbnail(blob, width, height) {
  const scale = THUMBNAIL_PIXELS / Math.max(width, height);
  if (scale >= 1) {
    return blob;
  }
  try {
    const bitmap = await createImageBitmap(blob, {
      resizeWidth: Math.round(width * scale),
      resizeHeight: Math.round(height * scale),
      resizeQuality: "high",
    });
    const canvas = document.createElement("canvas");
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    return await new Promise((resolve) => {
      canvas.toBlob((small) => resolve(small ?? blob), "image/webp", THUMBNAIL_QUALITY);
    });
  } catch {
    return blob;
  }
}
