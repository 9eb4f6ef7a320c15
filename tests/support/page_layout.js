// What a person could not read on the page that is open: a list of complaints, empty if all is well.
() => {
  const SMALLEST = 12, CONTRAST = 4.5, LARGE = 3;  // pixels; WCAG 2.2, 1.4.3
  const found = [];
  if (document.documentElement.scrollWidth > innerWidth) found.push(`the page is ${document.documentElement.scrollWidth} pixels wide`);
  const channels = colour => colour.match(/[\d.]+/g).map(Number);
  const light = colour => {
    const [r, g, b] = channels(colour).map(value => value / 255).map(value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ratio = (a, b) => (Math.max(light(a), light(b)) + .05) / (Math.min(light(a), light(b)) + .05);
  const behind = element => {
    const box = element instanceof SVGElement && element.closest("g")?.querySelector("rect");
    if (box) return getComputedStyle(box).fill;
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (channels(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  // What is shown of an element's box: others hide the rest, or scroll.
  const shown = (element, box) => {
    let {left, right, top, bottom} = box;
    for (let at = element; at; at = at.parentElement) {
      if (at instanceof SVGElement || getComputedStyle(at).overflow === "visible") continue;
      const by = at.getBoundingClientRect();
      [left, right, top, bottom] = [Math.max(left, by.left), Math.min(right, by.right), Math.max(top, by.top), Math.min(bottom, by.bottom)];
    }
    return {left, right, top, bottom};
  };
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest("script,style,noscript,select") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element), svg = element instanceof SVGElement;
    const size = parseFloat(style.fontSize) * (svg ? element.getScreenCTM().a : 1);
    if (size < SMALLEST) found.push(`"${node.data}" is ${size.toFixed(1)} pixels high`);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const contrast = ratio(svg ? style.fill : style.color, behind(element));
    if (contrast < (large ? LARGE : CONTRAST)) found.push(`"${node.data}" has a contrast of ${contrast.toFixed(1)}`);
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of svg ? [element.getBoundingClientRect()] : range.getClientRects()) {
      const part = shown(element, box);
      if (part.right <= part.left || part.bottom <= part.top + 1) continue;
      if (part.left < -1 || part.right > innerWidth + 1) found.push(`"${node.data}" reaches beyond the edge`);
      texts.push({...part, text: node.data, node});
    }
    const around = svg && element.closest("g")?.querySelector("rect")?.getBoundingClientRect();
    const own = element.getBoundingClientRect();
    if (around && (own.left < around.left || own.right > around.right || own.bottom > around.bottom)) found.push(`"${node.data}" is wider or lower than its box`);
  }
  texts.forEach((a, index) => texts.slice(index + 1).forEach(b => {
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (a.node !== b.node && wide > 1 && high > 4) found.push(`"${a.text}" and "${b.text}" lie on each other`);
  }));
  // In the picture, what is drawn later lies on what was drawn before.
  for (const box of document.querySelectorAll("#picture rect")) for (const {node, text, ...part} of texts) {
    const own = box.getBoundingClientRect(), element = node.parentElement;
    const later = element.compareDocumentPosition(box) & Node.DOCUMENT_POSITION_FOLLOWING;
    const wide = Math.min(own.right, part.right) - Math.max(own.left, part.left);
    const high = Math.min(own.bottom, part.bottom) - Math.max(own.top, part.top);
    if (element.closest("#picture") && later && wide > 1 && high > 1) found.push(`a box hides "${text}"`);
  }
  for (const name of ["strips", "facts", "nodes", "picture", "tape", "cards"]) {
    const part = document.getElementById(name);
    if (part.checkVisibility() && part.getBoundingClientRect().height < 10) found.push(`#${name} is empty`);
  }
  return found;
}
