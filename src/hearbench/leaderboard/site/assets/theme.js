// The theme: as the system has it, unless another was chosen, which is remembered.
"use strict";

(() => {
  const KEY = "hearbench-theme";
  const THEMES = ["auto", "light", "dark"];

  function remembered() {
    try {
      const theme = localStorage.getItem(KEY);
      return THEMES.includes(theme) ? theme : "auto";
    } catch {
      return "auto"; // storage is switched off
    }
  }

  function remember(theme) {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // It holds for this page alone.
    }
  }

  function use(theme) {
    if (theme === "auto") {
      delete document.documentElement.dataset.theme;
    } else {
      document.documentElement.dataset.theme = theme;
    }
    document.dispatchEvent(new CustomEvent("themechange"));
  }

  // Before anything is drawn, so that the page doesn't flash.
  use(remembered());

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new CustomEvent("themechange"));
  });

  document.addEventListener("DOMContentLoaded", () => {
    const choice = document.getElementById("theme");
    choice.closest("label").hidden = false;
    choice.value = remembered();
    choice.addEventListener("change", () => {
      remember(choice.value);
      use(choice.value);
    });
  });
})();
