// Sets the saved theme and density before the first paint.
(() => {
  try {
    const { theme, density } = JSON.parse(localStorage.getItem('telegen') || '{}');
    const root = document.documentElement;
    if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
    if (density === 'compact') root.dataset.density = density;
  } catch {
    // Storage may be switched off: the system's theme it is.
  }
})();
