// Before the first paint: the chosen theme, else the system's. A classic script, since modules come later.
(() => {
  try {
    const theme = localStorage.getItem('sluice-theme');
    if (theme) document.documentElement.dataset.theme = theme;
  } catch {
    // no storage: the system's theme
  }
})();
