// masformer prepare
#include "data/prepare.h"

#include <fmt/format.h>

#include "launch/commands.h"
#include "launch/options/option_table.h"

namespace masformer {

ExitCode prepare_command(const Arguments& arguments) {
  PrepareOptions options;
  std::vector<std::string> inputs;
  std::string output;
  OptionTable table;
  table.add_list(
      "input", inputs,
      {.value = "PATH...", .help = "Files of UTF-8 text, or folders to search through."});
  table.add("output", output, {.value = "FILE", .help = "The token store to write."});
  table.add("tokenizer", options.tokenizer,
            {.value = "NAME", .help = "byte: 256 bytes and the end of a document."});
  table.add_list("suffix", options.suffixes,
                 {.value = "TEXT...", .help = "Endings of the files taken from folders."});
  table.add("separator", options.separator,
            {.value = "LINE", .help = "A line that ends a document. Empty: one document a file."});
  if (asks_for_help(arguments)) {
    fmt::print("masformer prepare --input PATH... --output FILE\n{}", table.help());
    return ExitCode::done;
  }
  table.parse(arguments);
  if (inputs.empty() || output.empty()) refuse("prepare needs --input PATH... and --output FILE");
  options.inputs.assign(inputs.begin(), inputs.end());
  options.output = output;
  const PrepareResult result = prepare(options);
  if (result.replaced) fmt::print("{}: replaced the HDF5 file that stood there\n", output);
  fmt::print(
      "{}: {} documents of {} files, {} tokens\nunigram entropy {:.4f} nats a token: what a model "
      "without context can reach\n",
      output, result.documents, result.files, result.tokens, result.unigram_entropy);
  return ExitCode::done;
}

}  // namespace masformer
