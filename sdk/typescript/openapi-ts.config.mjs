// Types and calls from the committed contract. What is written below src/generated is never edited nor committed.
export default {
  input: "../../openapi.json",
  output: { path: "src/generated", importFileExtension: ".js" },
  plugins: [
    { name: "@hey-api/client-fetch", throwOnError: true },
    { name: "@hey-api/typescript", enums: false },
    { name: "@hey-api/sdk", operations: { strategy: "single", containerName: "Api" }, responseStyle: "data" },
  ],
};
