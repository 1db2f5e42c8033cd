// The box beside the slider holds the age, and the page alone writes into it: an answer of the server would
// come when another age is already being typed.
const ageBox = "#nn-years input[type=number]";
const setAge = (years) => {
  const box = document.querySelector(ageBox);
  box.value = years;
  box.dispatchEvent(new Event("input", { bubbles: true })); // Gradio takes it for typed
};
document.addEventListener("click", (event) => {
  const chosen = event.target.closest("#nn-strip [data-pick]");
  if (chosen) setAge(chosen.dataset.pick);
});
document.addEventListener("blur", (event) => { // before Gradio hears of it, which makes an empty box say 1
  const shown = document.querySelector("#nn-compare .nn-right");
  if (shown && event.target.matches?.(ageBox) && event.target.value === "") setAge(parseFloat(shown.textContent));
}, true);
