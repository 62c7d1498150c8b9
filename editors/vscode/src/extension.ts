import { commands, type ExtensionContext, window, workspace } from "vscode";
import { LanguageClient, type LanguageClientOptions, type ServerOptions } from "vscode-languageclient/node";

let client: LanguageClient | undefined;

/** What the server is told when it starts, and again when a setting changes. */
function options(): Record<string, unknown> {
  const settings = workspace.getConfiguration("hawqc");
  return {
    set: settings.get<Record<string, string>>("set", {}),
    trust: settings.get<boolean>("trust", false),
    root: settings.get<string>("root", ""),
  };
}

function makeClient(): LanguageClient {
  const [command = "hawqc", ...more] = workspace.getConfiguration("hawqc").get<string[]>("command", ["hawqc"]);
  const server: ServerOptions = { command, args: [...more, "lsp"] };
  const asked: LanguageClientOptions = {
    documentSelector: [
      { scheme: "file", language: "hawq" },
      { scheme: "untitled", language: "hawq" },
    ],
    initializationOptions: options(),
  };
  return new LanguageClient("hawqc", "HAWQ specs", server, asked);
}

async function start(): Promise<void> {
  client = makeClient();
  try {
    await client.start();
  } catch (error) {
    const shown = await window.showErrorMessage(
      `The language server did not start: ${String(error)}. Is hawqc installed, with \`pip install 'hawqc[lsp]'\`?`,
      "Open the setting",
    );
    if (shown !== undefined) {
      await commands.executeCommand("workbench.action.openSettings", "hawqc.command");
    }
  }
}

async function restart(): Promise<void> {
  await deactivate();
  await start();
}

export async function activate(context: ExtensionContext): Promise<void> {
  context.subscriptions.push(
    commands.registerCommand("hawqc.restart", restart),
    workspace.onDidChangeConfiguration(async (change) => {
      if (change.affectsConfiguration("hawqc.command")) {
        await restart();
      } else if (change.affectsConfiguration("hawqc")) {
        await client?.sendNotification("workspace/didChangeConfiguration", { settings: { hawqc: options() } });
      }
    }),
  );
  await start();
}

export async function deactivate(): Promise<void> {
  const running = client;
  client = undefined;
  if (running?.isRunning() === true) {
    await running.stop();
  }
}
