// An answer, from the chunks of a chat completion's stream.

export function emptyAnswer() {
  return { content: '', reasoning: '', toolCalls: [], finish: null, usage: null, timings: null };
}

/** Adds a chunk to `answer`; returns whether text or calls came. Throws Error with the server's words on an error event. */
export function addChunk(answer, chunk) {
  if (chunk.error) throw Object.assign(new Error(errorText(chunk.error)), { code: chunk.error.code });
  if (chunk.usage) answer.usage = usageOf(chunk.usage);
  if (chunk.timings) answer.timings = chunk.timings;
  if (chunk.model) answer.model = String(chunk.model);
  const choice = (chunk.choices ?? []).find((one) => (one.index ?? 0) === 0);
  if (!choice) return false;
  if (choice.finish_reason) answer.finish = choice.finish_reason;
  const delta = choice.delta ?? {};
  answer.content += delta.content ?? '';
  answer.reasoning += delta.reasoning_content ?? delta.reasoning ?? '';
  for (const call of delta.tool_calls ?? []) addCall(answer.toolCalls, call);
  return Boolean(delta.content || delta.reasoning_content || delta.reasoning || delta.tool_calls);
}

export function errorText(error) {
  return typeof error === 'string' ? error : String(error.message ?? JSON.stringify(error));
}

const MAX_CALLS = 256;

function addCall(calls, delta) {
  const index = delta.index ?? calls.length;
  if (!Number.isInteger(index) || index < 0 || index >= MAX_CALLS) return;
  while (calls.length <= index) calls.push({ id: '', name: '', arguments: '' });
  const call = calls[index];
  call.id ||= delta.id ?? '';
  call.name ||= delta.function?.name ?? '';
  call.arguments += delta.function?.arguments ?? '';
}

function usageOf(usage) {
  return {
    prompt: usage.prompt_tokens ?? 0,
    completion: usage.completion_tokens ?? 0,
    cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
    reasoning: usage.completion_tokens_details?.reasoning_tokens ?? 0,
  };
}

/**
 * What a reader is told of an answer's cost, in short phrases. `clock` is the browser's own measure, for servers that
 * send no timings: milliseconds `first` and `last` from sending to the first and the last piece.
 */
export function describeCost({ usage, timings, clock }) {
  const parts = [];
  if (usage) {
    const cached = usage.cached || timings?.cache_n || 0;
    parts.push(`${usage.prompt} tokens read${cached ? ` (${cached} cached)` : ''}`, `${usage.completion} written`);
  }
  const speed = timings?.predicted_per_second ?? speedOf(usage, clock);
  if (speed > 0) parts.push(`${speed < 10 ? speed.toFixed(1) : Math.round(speed)} tok/s`);
  if (clock?.first > 0) parts.push(`first after ${seconds(clock.first)}`);
  return parts;
}

function speedOf(usage, clock) {
  const ms = (clock?.last ?? 0) - (clock?.first ?? 0);
  return usage?.completion > 1 && ms > 0 ? ((usage.completion - 1) * 1000) / ms : 0;
}

export function seconds(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 10000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}
