// Icons, drawn here: lines in a square of 24.
import { svg } from './dom.js';

const PATHS = {
  copy: 'M9 9h10v11H9z M6 15H5V4h10v2',
  edit: 'M5 19l1-4L16 5l3 3L9 18z M14 7l3 3',
  again: 'M19 12a7 7 0 1 1-2-5 M19 4v4h-4',
  previous: 'M14 6l-6 6 6 6',
  next: 'M10 6l6 6-6 6',
  send: 'M12 20V5 M6 11l6-6 6 6',
  stop: 'M7 7h10v10H7z',
  plus: 'M12 5v14 M5 12h14',
  menu: 'M4 7h16 M4 12h16 M4 17h16',
  close: 'M6 6l12 12 M18 6L6 18',
  more: 'M5 12h.01 M12 12h.01 M19 12h.01',
  sliders: 'M4 8h9 M17 8h3 M4 16h3 M11 16h9 M15 5.8v4.4 M9 13.8v4.4',
  theme: 'M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z',
  keys: 'M3 7h18v10H3z M7 11h.01 M11 11h.01 M15 11h.01 M8 14h8',
  save: 'M12 4v10 M8 10l4 4 4-4 M5 19h14',
  open: 'M12 14V4 M8 8l4-4 4 4 M5 19h14',
};

export function icon(name) {
  return svg('svg', { class: 'icon', viewBox: '0 0 24 24', 'aria-hidden': 'true' }, svg('path', { d: PATHS[name] }));
}
