// The box beside the slider holds the age, and the page alone writes into it: an answer of the server would
// come when another age is already being typed.
const ageBox = "#nn-years input[type=number]";
let lastAge; // in the box; the face that is shown may still be of an age before
const setAge = (years) => {
  const box = document.querySelector(ageBox);
  box.value = years;
  box.dispatchEvent(new Event("input", { bubbles: true })); // Gradio takes it for typed
};
for (const kind of ["focus", "input"])
  document.addEventListener(kind, (event) => {
    if (event.target.matches?.(ageBox) && event.target.value !== "") lastAge = event.target.value;
  }, true);
document.addEventListener("click", (event) => {
  const chosen = event.target.closest("#nn-strip [data-pick]");
  if (chosen) setAge(chosen.dataset.pick);
});
document.addEventListener("blur", (event) => { // before Gradio hears of it, which makes an empty box say 1
  if (event.target.matches?.(ageBox) && event.target.value === "") setAge(lastAge);
}, true);
