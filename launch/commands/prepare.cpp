// masformer prepare
#include "data/prepare.h"

#include <fmt/format.h>

#include "launch/commands.h"
#include "launch/options/option_table.h"
#include "launch/output/standard_streams.h"
#include "runtime/counted.h"

namespace masformer {

ExitCode prepare_command(const Arguments& arguments) {
  PrepareOptions options;
  std::vector<std::string> inputs;
  std::string output;
  OptionTable table;
  table.add_list(
      "input", inputs,
      {.value = "PATH...", .help = "Files of UTF-8 text, or folders that hold such files."});
  table.add("output", output, {.value = "FILE", .help = "The token store to write."});
  table.add("tokenizer", options.tokenizer,
            {.value = "NAME", .help = "byte: one id per byte, and 256 at the end of a document."});
  table.add_list("suffix", options.suffixes,
                 {.value = "TEXT...", .help = "In folders, read only files with these suffixes."});
  table.add(
      "separator", options.separator,
      {.value = "LINE", .help = "A line that ends a document. Empty: one document per file."});
  if (asks_for_help(arguments)) {
    print_result("{}\n{}", usage_of("prepare"), table.help());
    return ExitCode::done;
  }
  table.parse(arguments);
  if (inputs.empty() || output.empty()) refuse("prepare needs --input PATH... and --output FILE");
  options.inputs.assign(inputs.begin(), inputs.end());
  options.output = output;
  const PrepareResult result = prepare(options);
  if (result.replaced) print_notice("{}: replaced an existing HDF5 file\n", output);
  print_notice(
      "{}: {} from {}, {}\nunigram entropy {:.4f} nats per token: the loss "
      "that a model without context can reach\n",
      output, counted(result.documents, "document"), counted(result.files, "file"),
      counted(result.tokens, "token"), result.unigram_entropy);
  return ExitCode::done;
}

}  // namespace masformer
