package peers;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;

/** Validates R4 resources, one a line: {@code Validate FILE…}. Any error fails; warnings are counted by their text. */
public final class Validate {
    public static void main(String[] files) throws IOException {
        var context = FhirContext.forR4Cached();
        var support = new ValidationSupportChain(new DefaultProfileValidationSupport(context),
                new CommonCodeSystemsTerminologyService(context),
                new InMemoryTerminologyServerValidationSupport(context));
        var validator = context.newValidator().registerValidatorModule(new FhirInstanceValidator(support));

        // A validator that finds nothing here would find nothing anywhere.
        String broken = "{\"resourceType\":\"Task\",\"status\":\"finished\",\"intent\":\"order\",\"urgency\":\"high\"}";
        if (validator.validateWithResult(broken).isSuccessful()) {
            throw new IllegalStateException("a broken Task passed");
        }

        Map<String, Integer> kinds = new TreeMap<>();
        Map<String, Integer> warnings = new TreeMap<>();
        int read = 0;
        int errors = 0;
        for (String file : files) {
            int line = 0;
            for (String resource : Files.readAllLines(Path.of(file))) {
                line++;
                if (resource.isBlank()) {
                    continue;
                }
                read++;
                var result = validator.validateWithResult(resource);
                kinds.merge(context.newJsonParser().parseResource(resource).fhirType(), 1, Integer::sum);
                for (SingleValidationMessage message : result.getMessages()) {
                    String text = message.getLocationString() + ": " + message.getMessage();
                    if (message.getSeverity().compareTo(ResultSeverityEnum.ERROR) >= 0) {
                        errors++;
                        System.out.println("ERROR " + file + ":" + line + " " + text);
                    } else if (message.getSeverity() == ResultSeverityEnum.WARNING && !text.contains("dom-6")) {
                        // dom-6 asks for a narrative; what we write is read by programs, and charts make their own.
                        warnings.merge(text.replaceAll("\\[\\d+]", "[*]").replaceAll("/\\*.*?\\*/", ""), 1, Integer::sum);
                    }
                }
            }
        }
        warnings.forEach((text, times) -> System.out.println("warning, " + times + " times: " + text));
        System.out.println(read + " resources, " + kinds + ": " + errors + " errors");
        if (errors > 0 || read == 0) {
            System.exit(1);
        }
    }
}
