// Airflow shows the console in a frame that may not navigate the window. Its page is of our origin,
// so a link in it can: whoever follows one into Airflow does not get Airflow inside of Airflow.
const isFramed = window.parent !== window;

function leave(address) {
  const link = window.parent.document.createElement("a");
  link.href = address;
  window.parent.document.body.append(link);
  link.click();
  link.remove();
}

function canLeave() {
  try {
    return Boolean(window.parent.document.body);
  } catch {
    return false;
  }
}

if (isFramed && canLeave()) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-leave]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    leave(link.href);
  });
  const handOver = document.querySelector("a[data-leave-now]");
  if (handOver) leave(handOver.href);
}

// Whoever follows a link to what is folded wants to see it.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let fold = target?.closest("details"); fold; fold = fold.parentElement?.closest("details")) fold.open = true;
  target?.scrollIntoView();
}

if (location.hash) unfold();
addEventListener("hashchange", unfold);
// Paper cannot be unfolded.
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
});
