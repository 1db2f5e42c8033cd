// Sends a picture to this server and nowhere else, then tells Gradio that it has come.
const zone = () => element.querySelector(".nn-drop");
const complain = (text) => {
  const line = element.querySelector(".nn-trouble");
  line.hidden = !text;
  line.textContent = text;
};
let sending; // the last picture wins, also over a larger one that is still on its way
const send = async (file) => {
  if (!zone() || !file) return;
  complain("");
  sending?.abort();
  const mine = (sending = new AbortController());
  const most = Number(zone().dataset.most);
  if (file.size > most) { // the server would say so too, but only after most of it has been sent
    trigger("submit", { error: `the file is larger than ${Math.round(most / 1e6)} MB: reduce it first` });
    return;
  }
  zone().classList.add("nn-busy");
  try {
    const answer = await fetch(`drop/${zone().dataset.visit}`, { method: "POST", body: file, signal: mine.signal });
    trigger("submit", answer.ok ? {} : { error: (await answer.json()).error });
  } catch {
    if (mine === sending) complain("The picture did not arrive: is the server still running?");
  } finally {
    if (mine === sending) zone().classList.remove("nn-busy");
  }
};
element.addEventListener("change", (event) => {
  if (event.target.type !== "file") return;
  send(event.target.files[0]);
  event.target.value = ""; // so that the same file can be chosen again
});
element.addEventListener("dragover", (event) => { event.preventDefault(); zone()?.classList.add("nn-over"); });
element.addEventListener("dragleave", () => zone()?.classList.remove("nn-over"));
element.addEventListener("drop", (event) => {
  event.preventDefault();
  zone()?.classList.remove("nn-over");
  send(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => send(event.clipboardData?.files[0]));
