// What the page asks of the server. Errors are ApiError, in words for a reader.
import { addChunk, emptyAnswer, errorText } from './answer.js';
import { keep, kept } from './keep.js';
import { SseReader } from './sse.js';

const KEY = 'sluice-api-key';
const MAX_BODY = 32 * 1024 * 1024; // characters of an answer that is no stream

/** `kind`: 'key' (one is needed), 'offline', 'busy' (retry after `retryAfter` seconds), 'refused', 'broken'. */
export class ApiError extends Error {
  constructor(kind, message, retryAfter = null) {
    super(message);
    this.kind = kind;
    this.retryAfter = retryAfter;
  }
}

export const apiKey = () => kept(KEY, 'sessionStorage') ?? '';

export function setApiKey(key) {
  keep(KEY, key || null, 'sessionStorage');
}

/** `path` is relative to the page, which may stand behind a prefix. Throws ApiError, or AbortError when `signal` says so. */
async function request(path, options = {}) {
  const headers = { ...options.headers };
  if (apiKey()) headers.Authorization = `Bearer ${apiKey()}`;
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), { ...options, headers, cache: 'no-store' });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError('offline', 'The server cannot be reached. Is it still running?');
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  let said = '';
  try {
    const text = (await response.text()).slice(0, MAX_BODY);
    const { error, message } = JSON.parse(text);
    said = error ? errorText(error) : message ?? '';
  } catch {
    // no JSON: the status must do
  }
  const { status } = response;
  const wait = Number.parseFloat(response.headers.get('Retry-After'));
  const retryAfter = Number.isFinite(wait) ? wait : null;
  if (status === 401 || status === 403) return new ApiError(status === 401 ? 'key' : 'refused', said || 'The server wants an API key.');
  if (status === 429 || status === 503) {
    return new ApiError('busy', said || `The server is busy${retryAfter ? `: again in ${Math.ceil(retryAfter)} s` : ''}.`, retryAfter);
  }
  if (status >= 500) return new ApiError('broken', said || `The server failed (status ${status}).`);
  return new ApiError('refused', said || `The server refused the request (status ${status}).`);
}

/** [{id, context}] with the context in tokens, or null where it is not said. */
export async function listModels() {
  const { data = [] } = await (await request('v1/models')).json();
  return data.map((model) => ({ id: String(model.id), context: model.max_model_len ?? model.meta?.n_ctx ?? null }));
}

export async function metricsText() {
  return (await request('metrics', { headers: { Accept: 'text/plain' } })).text();
}

/** The slots, and the steps after number `seq` where the server tells them (else null). */
export async function readSlots(seq) {
  const read = await (await request(`slots?steps=${seq}`)).json();
  return Array.isArray(read) ? { slots: read, steps: null } : { slots: read.slots ?? [], steps: read.steps ?? null };
}

/**
 * Streams the answer to `body`. Calls `onProgress(answer)` after each network piece. Returns the answer; when the stream ends without
 * an ending, throws. What came until an error or abort is in the last `onProgress`.
 */
export async function streamChat(body, signal, onProgress) {
  const begun = performance.now();
  const answer = { ...emptyAnswer(), clock: { first: 0, last: 0 } };
  const response = await request('v1/chat/completions', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  let ended = false;
  const reader = new SseReader(({ data }) => {
    if (data === '[DONE]') {
      ended = true;
      return;
    }
    if (!addChunk(answer, parseChunk(data))) return;
    answer.clock.last = performance.now() - begun;
    answer.clock.first ||= answer.clock.last;
  });
  try {
    await readBody(response, (text) => {
      try {
        reader.feed(text);
      } finally {
        onProgress(answer); // what came before an error too
      }
    });
  } catch (error) {
    if (error.name === 'AbortError' || error instanceof ApiError) throw error;
    throw new ApiError('broken', error instanceof TypeError ? 'The connection broke while the answer was coming.' : error.message);
  }
  if (!ended && !answer.finish) throw new ApiError('broken', 'The server ended the answer before it was finished.');
  return answer;
}

function parseChunk(data) {
  try {
    return JSON.parse(data);
  } catch {
    throw new ApiError('broken', 'The server sent something that is no JSON.');
  }
}

async function readBody(response, onText) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    onText(done ? decoder.decode() : decoder.decode(value, { stream: true }));
    if (done) return;
  }
}
