// Enter in the field for a kept command's name keeps it: browsers press a form's first button, which launches.
export function keepOnEnter(field) {
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    field.form.requestSubmit(field.form.querySelector("button[formaction]"));
  });
}
