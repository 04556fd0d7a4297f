import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, Output, streamText, tool } from "ai";

const sluice = createOpenAICompatible({ name: "sluice", baseURL: `${process.env.SLUICE_URL}/v1`, includeUsage: true, supportsStructuredOutputs: true });
const common = { model: sluice(model), prompt, temperature: 0, maxOutputTokens: 16, maxRetries: 0 };

const whole = await generateText(common);
told.whole = whole.text;
told.streamed = "";
for await (const part of streamText(common).textStream) told.streamed += part;

const tools = { get_weather: tool({ description: "The weather of a city", inputSchema: jsonSchema(schema), strict: true }) };
// Without the call it throws.
const asked = generateText({ ...common, maxOutputTokens: 200, tools, toolChoice: { type: "tool", toolName: "get_weather" } });
const call = await asked.then((answer) => answer.toolCalls[0], () => null);
if (call) told.tool = { name: call.toolName, arguments: call.input };

const structured = await generateText({ ...common, maxOutputTokens: 60, output: Output.object({ schema: jsonSchema(schema) }) });
told.json = JSON.stringify(structured.output);
told.overflow = await refused(generateText({ ...common, prompt: tooLong }));
told.missing = await refused(generateText({ ...common, model: sluice("nothing") }));

const abort = new AbortController();
for await (const part of streamText({ ...common, maxOutputTokens: 3000, abortSignal: abort.signal, onError: () => {} }).textStream) {
  if (part) break;
}
abort.abort();
console.log(JSON.stringify(told));
