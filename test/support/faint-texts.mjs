/** Runs in the page: words with less than 4.5 to 1 to what lies behind them, 3 to 1 for large ones. */
export function faintTexts() {
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!pixel) throw new Error("no canvas");
  const read = (css) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = css;
    pixel.fillRect(0, 0, 1, 1);
    const [red = 0, green = 0, blue = 0, alpha = 0] = pixel.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (front, back) => {
    const mix = (index) => front[index] * front[3] + back[index] * (1 - front[3]);
    return [mix(0), mix(1), mix(2), 1];
  };
  const luminance = (colour) => {
    const linear = (value) =>
      value <= 10.31 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
    return 0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2]);
  };
  const behind = (element) => {
    const { backgroundColor } = getComputedStyle(element);
    const own = read(backgroundColor);
    if (own[3] >= 0.999) return own;
    const parent = element.parentElement;
    return over(own, parent ? behind(parent) : [255, 255, 255, 1]);
  };
  const isShown = (element) => {
    const { width, height } = element.getBoundingClientRect();
    if (width <= 1 || height <= 1 || !element.checkVisibility({ checkOpacity: true })) return false;
    for (let each = element; each; each = each.parentElement) {
      if (each.matches(":disabled, [aria-disabled=true], [data-disabled]")) return false;
      if (Number(getComputedStyle(each).opacity) < 1) return false;
    }
    return true;
  };
  const found = new Set();
  for (const element of document.body.querySelectorAll(":not(svg, svg *, script, style)")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    const text = texts
      .map((node) => node.textContent.trim())
      .join(" ")
      .trim();
    if (text === "" || !isShown(element)) continue;
    const { color, fontSize, fontWeight } = getComputedStyle(element);
    const back = behind(element);
    const [one, two] = [luminance(over(read(color), back)), luminance(back)];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    const size = Number.parseFloat(fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) found.add(`"${text.slice(0, 40)}": ${ratio.toFixed(2)} to 1`);
  }
  return [...found];
}
