/* Before the first paint: the theme that the reader chose last, if any. Without it the system decides. */
"use strict";
(function () {
  document.documentElement.classList.add("scripted");
  let theme = null;
  try { theme = localStorage.getItem("avbench-theme"); } catch (error) { /* storage is off: nothing was chosen */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
