// Small things the browser keeps for this page; where it keeps nothing, for as long as the tab lives.

const inTab = new Map();

export function kept(name, storage = 'localStorage') {
  try {
    return window[storage].getItem(name) ?? inTab.get(name) ?? null;
  } catch {
    return inTab.get(name) ?? null;
  }
}

/** `value` null forgets it. */
export function keep(name, value, storage = 'localStorage') {
  inTab.delete(name);
  try {
    if (value === null) window[storage].removeItem(name);
    else window[storage].setItem(name, value);
  } catch {
    if (value !== null) inTab.set(name, value);
  }
}
