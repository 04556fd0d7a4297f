// Dark and light: the system's until somebody chooses.

import { keep } from './keep.js';

const dark = matchMedia('(prefers-color-scheme: dark)');

export const currentTheme = () => document.documentElement.dataset.theme ?? (dark.matches ? 'dark' : 'light');

/** Changes to the other theme; forgets the choice where it is the system's. Returns its name. */
export function switchTheme() {
  const theme = currentTheme() === 'dark' ? 'light' : 'dark';
  if ((theme === 'dark') === dark.matches) {
    delete document.documentElement.dataset.theme;
    keep('sluice-theme', null);
  } else {
    document.documentElement.dataset.theme = theme;
    keep('sluice-theme', theme);
  }
  return theme;
}
