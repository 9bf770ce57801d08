"""The parts of the page that Gradio has no component for.

A text that is read out when it changes; a place to drop a video, which sends
the file as it is and then triggers `upload` with its ticket, or with what is
wrong; and a row of samples, which triggers `select` with the number of the one
that was pressed.
"""

import gradio as gr

_DROP = """
<label class="vas-drop">
  <input type="file" accept="video/*,image/gif,image/png,image/jpeg">
  <b>Drop a video here</b>
  <span>or press to choose one</span>
  <small>${value}</small>
  <progress class="vas-bar" max="1" value="0" aria-label="Sent" hidden>
  </progress>
</label>
"""
_SEND = """
const input = element.querySelector('input');
const area = element.querySelector('.vas-drop');
const bar = element.querySelector('progress');
const most = %d * 2 ** 20;
function send(file) {
  if (!file || !bar.hidden) return;
  if (file.size > most) {
    trigger('upload', {problem: `${file.name} is larger than %d MB; ` +
      'give a smaller file.'});
    return;
  }
  bar.value = 0;
  bar.hidden = false;
  const request = new XMLHttpRequest();
  const done = (data) => { bar.hidden = true; trigger('upload', data); };
  request.upload.onprogress = (e) => { bar.value = e.loaded / file.size; };
  request.onload = () => done(request.status === 200
    ? {ticket: request.responseText}
    : {problem: request.responseText || 'The file was not taken.'});
  request.onerror = () => done({problem: 'The file could not be sent.'});
  request.open('POST', 'upload?name=' + encodeURIComponent(file.name));
  request.setRequestHeader('Content-Type', 'application/octet-stream');
  request.send(file);
}
input.addEventListener('change', () => {
  send(input.files[0]);
  input.value = '';
});
for (const name of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  area.addEventListener(name, (event) => {
    event.preventDefault();
    area.classList.toggle('vas-over', name.startsWith('drage') ||
      name === 'dragover');
    if (name === 'drop') send(event.dataTransfer.files[0]);
  });
}
"""
_PICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-sample]');
  if (button) trigger('select', {sample: Number(button.dataset.sample)});
});
"""

# Gradio gives every radio button a name of its own, and their group none: they
# could not be walked through with arrow keys, or be told apart when read out.
GROUP_RADIOS = """() => {
  const group = () => {
    for (const set of document.querySelectorAll('fieldset')) {
      const title = set.querySelector('[data-testid=block-info]');
      set.setAttribute('role', 'radiogroup');
      set.setAttribute('aria-label', title.innerText.trim());
      for (const radio of set.querySelectorAll('input')) {
        if (radio.name !== set.id) radio.name = set.id;
      }
    }
  };
  const all = {childList: true, subtree: true, attributeFilter: ['name']};
  new MutationObserver(group).observe(document.body, all);
  group();
}"""


def live(name):
    """A text that screen readers read out when it changes."""
    return gr.HTML(
        "",
        js_on_load="element.setAttribute('aria-live', 'polite');",
        elem_id=name,
    )


def drop_area(limits):
    """Where a video is dropped; triggers `upload`."""
    return gr.HTML(
        f"up to {limits.megabytes} MB; the first {limits.seconds:g} s are used",
        html_template=_DROP,
        js_on_load=_SEND % (limits.megabytes, limits.megabytes),
        elem_id="vas-upload",
    )


def sample_row(title, content):
    """Samples, `content` being HTML with their buttons; triggers `select`."""
    return gr.HTML(
        content,
        html_template=(
            f'<p class="vas-hint">{title}</p>'
            '<div class="vas-samples">${value}</div>'
        ),
        js_on_load=_PICK,
        elem_id="vas-samples",
    )
