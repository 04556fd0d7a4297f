// Elements from values. Strings become text nodes: nothing here reads markup.

/**
 * An element: h('button', {class: 'quiet', onclick: stop, 'aria-label': 'Stop'}, 'Stop'). Attributes that are null, undefined or
 * false are left out; functions are listeners. Children may be nodes, strings, arrays, or null for none.
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

const NAMESPACES = { svg: 'http://www.w3.org/2000/svg', math: 'http://www.w3.org/1998/Math/MathML' };

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(NAMESPACES.svg, tag), attributes, children);
}

/** From a tree [tag, attributes, ...children] of maths.js. */
export function mathElement([tag, attributes, ...children]) {
  const inner = children.map((child) => (Array.isArray(child) ? mathElement(child) : child));
  return fill(document.createElementNS(NAMESPACES.math, tag), attributes, inner);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** A button with an icon of icons.js or words; `label` is its name for those who do not see it, and its tooltip. */
export function button(label, onclick, { icon = null, text = null, ...rest } = {}) {
  const named = text === null ? { 'aria-label': label, title: label } : {};
  return h('button', { type: 'button', onclick, ...named, ...rest }, icon, text);
}
